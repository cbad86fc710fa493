import { type ReactNode, useState } from "react";
import { api } from "../api/client.ts";
import { UsageIcon } from "../design/icons.tsx";
import { useLoaded } from "../design/loaded.ts";
import { Empty } from "../design/parts.tsx";
import { Segments } from "../design/Segments.tsx";
import { StateView } from "../design/StateView.tsx";
import { Table } from "../design/Table.tsx";
import { t } from "../i18n/index.ts";
import { Frame } from "../shell/Frame.tsx";
import { money, shortDay, tokens } from "../text/format.ts";
import { Bars } from "./Bars.tsx";
import { columns, days, type Dimension, grouped, type Measure, measured, period, type Sum, total } from "./sums.ts";
import "./usage.css";

const SPANS = [1, 7, 30, 90] as const;
const BY: readonly Dimension[] = ["project", "agent", "model"];
const MEASURES: readonly Measure[] = ["cost", "tokens"];
const MOST_SERIES = 6;
const FIGURES = ["calls", "input", "output", "cost"] as const;
type Figure = (typeof FIGURES)[number];

/** What models cost and used, by day and by what it was for. */
export default function UsagePage(): ReactNode {
  const [back, setBack] = useState<(typeof SPANS)[number]>(30);
  const [by, setBy] = useState<Dimension>("project");
  const [measure, setMeasure] = useState<Measure>("cost");
  const { since, offset, first, last } = period(new Date(), back - 1);
  const held = useLoaded(async () => (await api.usage(since, offset)).items, `${since} ${offset}`);
  const show = measure === "cost" ? money : tokens;
  const acts = (
    <Segments aria-label={t("usage:period")} of={SPANS} now={back} words={(count) => t("usage:days", { count })} onChoose={setBack} />
  );
  const none = <Empty icon={<UsageIcon size={26} />} title={t("usage:empty")} words={t("usage:emptyWords")} />;
  return (
    <Frame wide title={t("usage:title")} acts={acts} data-testid="usage-page">
      <StateView of={held} lines={6} empty={none}>
        {(rows) => {
          const sums = total(rows);
          const drawn = columns(rows, days(first, last), by, measure, MOST_SERIES);
          return (
            <>
              <Figures sums={sums} />
              <div className="plot-head">
                <Segments aria-label={t("usage:by")} of={BY} now={by} onChoose={setBy}
                  words={(name) => t(`usage:dimension.${name}`)} />
                <Segments aria-label={t("usage:measureLabel")} of={MEASURES} now={measure} onChoose={setMeasure}
                  words={(name) => t(`usage:measure.${name}`)} />
              </div>
              {back === 1 ? null : <Bars {...drawn} show={show} day={shortDay} />}
              <Lines rows={grouped(rows, by, measure)} by={by} measure={measure} all={measured(sums, measure)} />
              {sums.unpriced === 0 ? null : <p className="muted">{t("usage:unpriced", { count: sums.unpriced })}</p>}
              {sums.estimated === 0 ? null : <p className="muted">{t("usage:estimated", { count: sums.estimated })}</p>}
            </>
          );
        }}
      </StateView>
    </Frame>
  );
}

function Figures({ sums }: { sums: Sum }): ReactNode {
  const cached = sums.input === 0 ? 0 : sums.cached / sums.input;
  const figures: [Figure, string, string][] = [
    ["cost", money(sums.cost), sums.unpriced > 0 ? t("usage:partly") : t("usage:listPrice")],
    ["input", tokens(sums.input), t("usage:cached", { share: Math.round(cached * 100) })],
    ["output", tokens(sums.output), ""],
    ["calls", tokens(sums.calls), ""],
  ];
  return (
    <dl className="figures">
      {figures.map(([name, value, hint]) => (
        <div key={name} className="card figure">
          <dt>{t(`usage:figure.${name}`)}</dt>
          <dd>{value}</dd>
          <dd className="muted">{hint}</dd>
        </div>
      ))}
    </dl>
  );
}

interface LinesProps {
  rows: [string, Sum][];
  by: Dimension;
  measure: Measure;
  all: number;
}

function Lines({ rows, by, measure, all }: LinesProps): ReactNode {
  const heads = [t(`usage:dimension.${by}`), ...FIGURES.map((name) => t(`usage:figure.${name}`))];
  return (
    <Table className="usage-table" testid="usage-table" heads={heads}>
      {rows.map(([name, sum]) => (
        <tr key={name}>
          <td className="cell-main">
            {name}
            <progress className="share" max={all || 1} value={measured(sum, measure)} aria-hidden />
          </td>
          {[sum.calls, sum.input, sum.output].map((value, place) => (
            <td key={place} className="cell-minor number" data-label={heads[place + 1]}>{tokens(value)}</td>
          ))}
          <td className="cell-act number">{sum.unpriced === sum.calls ? "–" : money(sum.cost)}</td>
        </tr>
      ))}
    </Table>
  );
}
