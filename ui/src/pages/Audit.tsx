import { Fragment, type ReactNode, useCallback, useEffect, useState } from "react";
import { api } from "../api/client.ts";
import { sentence } from "../api/http.ts";
import type { AuditRecord } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { AuditIcon, CageIcon } from "../design/icons.tsx";
import { Badge, Empty, Notice, Skeleton } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { actorName, num, str } from "../journal/events.ts";
import { Header } from "../shell/Header.tsx";
import { Sentence } from "../design/Sentence.tsx";
import { stamp } from "../text/format.ts";

const TONES: Readonly<Record<string, "ok" | "bad" | undefined>> = { denied: "bad", failed: "bad" };

export default function AuditPage({ onMenu }: { onMenu: () => void }): ReactNode {
  const [records, setRecords] = useState<AuditRecord[] | null>(null);
  const [next, setNext] = useState<string | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [verdict, setVerdict] = useState<{ ok: boolean; text: string } | null>(null);
  const [busy, setBusy] = useState(false);

  const look = useCallback(async (cursor: string | null): Promise<void> => {
    try {
      const page = await api.audit(cursor);
      setRecords((held) => (cursor === null ? page.items : [...(held ?? []), ...page.items]));
      setNext(page.next);
    } catch (error) {
      setProblem(sentence(error));
    }
  }, []);
  useEffect(() => void look(null), [look]);

  const verify = async (): Promise<void> => {
    setBusy(true);
    try {
      setVerdict(verdictOf(await api.verifyAudit()));
    } catch (error) {
      setVerdict({ ok: false, text: sentence(error) });
    } finally {
      setBusy(false);
    }
  };

  return (
    <>
      <Header title={t("places:page.audit")} onMenu={onMenu}>
        <Button onClick={() => void verify()} busy={busy}>
          {busy ? null : <CageIcon size={15} aria-hidden />} {t("places:audit.verify")}
        </Button>
      </Header>
      <div className="page" tabIndex={0}>
        <div className="page-column wide">
          {verdict === null ? null : <Notice tone={verdict.ok ? "ok" : "bad"}>{verdict.text}</Notice>}
          {problem === null ? null : (
            <Notice tone="bad">
              <Sentence text={problem} />
            </Notice>
          )}
          {records === null && problem === null ? <Skeleton lines={8} /> : null}
          {records?.length === 0 ? <Empty icon={<AuditIcon size={26} />} title={t("places:audit.none")}><p>{t("places:audit.noneWhy")}</p></Empty> : null}
          {records === null || records.length === 0 ? null : <Table records={records} />}
          {next === null ? null : <Button onClick={() => void look(next)}>{t("places:audit.older")}</Button>}
        </div>
      </div>
    </>
  );
}

function verdictOf(report: Record<string, unknown>): { ok: boolean; text: string } {
  const ok = report["ok"] === true;
  const records = num(report, "records");
  const whole = records > 0 ? t("places:audit.wholeOf", { count: records }) : t("places:audit.whole");
  const fallback = ok ? whole : t("places:audit.broken");
  return { ok, text: str(report, "problem") || fallback };
}

function Table({ records }: { records: AuditRecord[] }): ReactNode {
  const [open, setOpen] = useState<number | null>(null);
  return (
    <div className="card table-frame">
      <table className="table">
        <thead>
          <tr>
            {(["when", "who", "did", "to", "outcome"] as const).map((head) => <th key={head} scope="col">{t(`places:audit.${head}`)}</th>)}
          </tr>
        </thead>
        <tbody>
          {records.map((record) => (
            <Fragment key={record.seq}>
              <tr data-open={open === record.seq}>
                <td className="cell-minor">
                  <button
                    type="button"
                    className="row-button"
                    aria-expanded={open === record.seq}
                    onClick={() => setOpen(open === record.seq ? null : record.seq)}
                  >
                    {stamp(record.at)}
                  </button>
                </td>
                <td className="cell-minor cell-side">{actorName(record.actor)}</td>
                <td className="cell-main mono">{record.action}</td>
                <td className="cell-wide mono table-object">{record.object}</td>
                <td className="cell-act cell-side">
                  <Badge tone={TONES[record.outcome]}>{record.outcome}</Badge>
                </td>
              </tr>
              {open === record.seq ? (
                <tr className="table-detail">
                  <td colSpan={5}>
                    <pre>{JSON.stringify({ seq: record.seq, at: record.at, ...record.details }, null, 2)}</pre>
                  </td>
                </tr>
              ) : null}
            </Fragment>
          ))}
        </tbody>
      </table>
    </div>
  );
}
