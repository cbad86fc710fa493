import { Fragment, type ReactNode, useState } from "react";
import { t } from "../i18n/index.ts";
import { api } from "../api/client.ts";
import type { AuditRecord } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { AuditIcon, CageIcon } from "../design/icons.tsx";
import { useLoaded } from "../design/loaded.ts";
import { Badge, Empty, Notice, Problem } from "../design/parts.tsx";
import { StateView } from "../design/StateView.tsx";
import { Table } from "../design/Table.tsx";
import { useWork } from "../design/work.ts";
import { actorName, num, str } from "../journal/events.ts";
import { Frame } from "../shell/Frame.tsx";
import { stamp } from "../text/format.ts";

const HEADS = ["when", "who", "did", "to", "outcome"] as const;
const TONES: Readonly<Record<string, "ok" | "bad" | undefined>> = { denied: "bad", failed: "bad" };

export default function AuditPage(): ReactNode {
  const [older, setOlder] = useState<{ items: AuditRecord[]; next: string | null } | null>(null);
  const [verdict, setVerdict] = useState<{ ok: boolean; text: string } | null>(null);
  const newest = useLoaded(() => api.audit(null));
  const { busy, problem, run } = useWork();
  const next = (older ?? newest.value)?.next ?? null;
  const more = async (): Promise<void> => {
    const { items, next: rest } = await api.audit(next);
    setOlder((held) => ({ items: [...(held?.items ?? []), ...items], next: rest }));
  };
  const verify = async (): Promise<void> => setVerdict(verdictOf(await api.verifyAudit()));
  const acts = (
    <Button onClick={() => void run(verify)} busy={busy}>{busy ? null : <CageIcon size={15} />} {t("places:audit.verify")}</Button>
  );
  return (
    <Frame wide title={t("places:page.audit")} acts={acts}>
      {verdict === null ? null : <Notice tone={verdict.ok ? "ok" : "bad"}>{verdict.text}</Notice>}
      <Problem text={problem} />
      <StateView of={newest} lines={8}>
        {({ items }) =>
          items.length === 0 ? <Empty icon={<AuditIcon size={26} />} title={t("places:audit.none")} words={t("places:audit.noneWhy")} /> : (
            <Records records={[...items, ...(older?.items ?? [])]} />
          )
        }
      </StateView>
      {next === null ? null : <Button onClick={() => void run(more)}>{t("places:audit.older")}</Button>}
    </Frame>
  );
}

function verdictOf(report: Record<string, unknown>): { ok: boolean; text: string } {
  const ok = report["ok"] === true;
  const records = num(report, "records");
  const whole = records > 0 ? t("places:audit.wholeOf", { count: records }) : t("places:audit.whole");
  const fallback = ok ? whole : t("places:audit.broken");
  return { ok, text: str(report, "problem") || fallback };
}

function Records({ records }: { records: AuditRecord[] }): ReactNode {
  const [open, setOpen] = useState<number | null>(null);
  return (
    <Table heads={HEADS.map((head) => t(`places:audit.${head}`))}>
      {records.map(({ seq, at, actor, action, object, outcome, details }) => (
        <Fragment key={seq}>
          <tr data-open={open === seq}>
            <td className="cell-minor">
              <button type="button" className="row-button" aria-expanded={open === seq}
                onClick={() => setOpen(open === seq ? null : seq)}>
                {stamp(at)}
              </button>
            </td>
            <td className="cell-minor cell-side">{actorName(actor)}</td>
            <td className="cell-main mono">{action}</td>
            <td className="cell-wide mono table-object">{object}</td>
            <td className="cell-act cell-side"><Badge tone={TONES[outcome]}>{outcome}</Badge></td>
          </tr>
          {open === seq ? (
            <tr className="table-detail">
              <td colSpan={5}><pre>{JSON.stringify({ seq, at, ...details }, null, 2)}</pre></td>
            </tr>
          ) : null}
        </Fragment>
      ))}
    </Table>
  );
}
