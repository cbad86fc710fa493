import { type ReactNode, useCallback, useEffect, useState } from "react";
import { api } from "../api/client.ts";
import { sentence } from "../api/http.ts";
import type { UsageRow } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { UsageIcon } from "../design/icons.tsx";
import { Empty, Notice, Skeleton } from "../design/parts.tsx";
import { Sentence } from "../design/Sentence.tsx";
import { t } from "../i18n/index.ts";
import { Header } from "../shell/Header.tsx";
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
export default function UsagePage({ onMenu }: { onMenu: () => void }): ReactNode {
  const [rows, setRows] = useState<UsageRow[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [back, setBack] = useState<number>(30);
  const [by, setBy] = useState<Dimension>("project");
  const [measure, setMeasure] = useState<Measure>("cost");
  const span = period(new Date(), back - 1);
  const { since, offset } = span;
  const look = useCallback(async (): Promise<void> => {
    try {
      setRows((await api.usage(since, offset)).items);
      setProblem(null);
    } catch (error) {
      setProblem(sentence(error));
    }
  }, [since, offset]);
  useEffect(() => void look(), [look]);

  const sums = total(rows ?? []);
  const show = measure === "cost" ? money : tokens;
  const drawn = columns(rows ?? [], days(span.first, span.last), by, measure, MOST_SERIES);
  return (
    <>
      <Header title={t("usage:title")} onMenu={onMenu}>
        <Choice label={t("usage:period")} of={SPANS} now={back} onChoose={setBack} words={(n) => t("usage:days", { count: n })} />
      </Header>
      <div className="page" tabIndex={0}>
        <div className="page-column wide" data-testid="usage-page">
          {problem === null ? null : (
            <Notice tone="bad">
              <div className="notice-line">
                <span className="grow">
                  <Sentence text={problem} />
                </span>
                <Button small onClick={() => void look()}>
                  {t("common:retry")}
                </Button>
              </div>
            </Notice>
          )}
          {rows === null && problem === null ? <Skeleton lines={6} /> : null}
          {rows?.length === 0 ? (
            <Empty icon={<UsageIcon size={26} />} title={t("usage:empty")}>
              <p>{t("usage:emptyWords")}</p>
            </Empty>
          ) : null}
          {rows === null || rows.length === 0 ? null : (
            <>
              <Figures sums={sums} />
              <div className="plot-head">
                <Choice label={t("usage:by")} of={BY} now={by} onChoose={setBy} words={(name) => t(`usage:dimension.${name}`)} />
                <Choice label={t("usage:measureLabel")} of={MEASURES} now={measure} onChoose={setMeasure} words={(name) => t(`usage:measure.${name}`)} />
              </div>
              {back === 1 ? null : <Bars {...drawn} show={show} day={shortDay} />}
              <Lines rows={grouped(rows, by, measure)} by={by} measure={measure} all={measured(sums, measure)} />
              {sums.unpriced === 0 ? null : <p className="muted">{t("usage:unpriced", { count: sums.unpriced })}</p>}
              {sums.estimated === 0 ? null : <p className="muted">{t("usage:estimated", { count: sums.estimated })}</p>}
            </>
          )}
        </div>
      </div>
    </>
  );
}

interface ChoiceProps<T> {
  label: string;
  of: readonly T[];
  now: T;
  onChoose: (next: T) => void;
  words: (each: T) => string;
}

function Choice<T extends string | number>({ label, of, now, onChoose, words }: ChoiceProps<T>): ReactNode {
  return (
    <div className="choice" role="group" aria-label={label}>
      {of.map((each) => (
        <button key={each} type="button" aria-pressed={each === now} onClick={() => onChoose(each)}>
          {words(each)}
        </button>
      ))}
    </div>
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

function Lines({ rows, by, measure, all }: { rows: [string, Sum][]; by: Dimension; measure: Measure; all: number }): ReactNode {
  const heads = [t(`usage:dimension.${by}`), ...FIGURES.map((name) => t(`usage:figure.${name}`))];
  return (
    <div className="card table-frame">
      <table className="table usage-table" data-testid="usage-table">
        <thead>
          <tr>
            {heads.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, sum]) => (
            <tr key={name}>
              <td className="cell-main">
                {name}
                <progress className="share" max={all || 1} value={measured(sum, measure)} aria-hidden />
              </td>
              {([sum.calls, sum.input, sum.output] as const).map((value, place) => (
                <td key={place} className="cell-minor number" data-label={heads[place + 1]}>
                  {tokens(value)}
                </td>
              ))}
              <td className="cell-act number">{sum.unpriced === sum.calls ? "–" : money(sum.cost)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
