import "./files.css";
import { type ReactNode, useEffect, useMemo, useState } from "react";
import { ApiError } from "../api/http.ts";
import { Button, IconButton } from "../design/Button.tsx";
import { BranchIcon, CheckIcon, EditIcon, RetryIcon } from "../design/icons.tsx";
import { useLoaded } from "../design/loaded.ts";
import { Empty, Notice } from "../design/parts.tsx";
import { SplitPane } from "../design/SplitPane.tsx";
import { StateView } from "../design/StateView.tsx";
import { t } from "../i18n/index.ts";
import { useKept } from "../state/kept.ts";
import { lacks } from "../state/rights.ts";
import { useStore } from "../state/store.ts";
import { toast, toastError } from "../state/toasts.ts";
import { findProject, workspace } from "../state/workspace.ts";
import { type Base, type Change, type Changes, files, type Where } from "./calls.ts";
import type { FilesProps } from "./FilesTab.tsx";
import { Review } from "./Review.tsx";

/** What is changed in the files: by file, by hunk; accepted, reverted, committed. */
export default function ChangesTab({ slug, session, path, onPick }: Omit<FilesProps, "line">): ReactNode {
  const where = useMemo(() => ({ slug, session }), [slug, session]);
  const [base, setBase] = useState<Base>(session === undefined ? "head" : "session");
  const loaded = useLoaded(() => files.changes(where, base), JSON.stringify([where, base]));
  const { retry, value, problem } = loaded;
  useEffect(() => {
    const again = (): void => void retry();
    window.addEventListener("focus", again);
    return () => window.removeEventListener("focus", again);
  }, [retry]);
  const chosen = value?.items.find((item) => item.path === path) ?? null;
  const lacking = lacks(findProject(useStore(workspace), slug), "editor");
  const none = problem instanceof ApiError && problem.details["no_repository"] === true;
  const idle = base === "session" && problem instanceof ApiError && problem.status === 404;
  const side = (
    <div className="file-side">
      <div className="change-head">
        {session === undefined ? (
          <span className="change-branch ellipsis"><BranchIcon size={14} aria-hidden /> {value?.branch ?? t("files:noBranch")}</span>
        ) : (
          <div className="segments" role="group" aria-label={t("files:against")}>
            {(["session", "head"] as const).map((each) => (
              <button key={each} type="button" className="segment" aria-current={base === each ? "page" : undefined} onClick={() => setBase(each)}>
                {t(`files:base.${each}`)}
              </button>
            ))}
          </div>
        )}
        <IconButton label={t("files:refresh")} onClick={retry}><RetryIcon size={15} /></IconButton>
      </div>
      {none ? (
        <Empty icon={<BranchIcon size={26} aria-hidden />} title={t("files:noRepository")}>
          <p>{t("files:noRepositoryWhy")}</p>
          <pre className="change-how"><code>git init</code></pre>
          <Button onClick={retry}>{t("files:again")}</Button>
        </Empty>
      ) : idle ? <Nothing words={t("files:notBegun")} /> : (
        <StateView of={loaded} empty={{ when: ({ items }) => items.length === 0, view: <Nothing words={t(base === "head" ? "files:nothingWhy" : "files:nothingHere")} /> }}>
          {({ items }) => (
            <>
              <ChangeList label={t(base === "head" ? "files:toReview" : "files:changed", { count: items.filter((it) => !it.staged).length })}
                items={items.filter((it) => !it.staged)} chosen={path} onPick={onPick} />
              <ChangeList label={t("files:accepted", { count: items.filter((it) => it.staged).length })}
                items={items.filter((it) => it.staged)} chosen={path} onPick={onPick} />
            </>
          )}
        </StateView>
      )}
      {value !== null && base === "head" && value.items.length > 0 ? (
        <Commit where={where} changes={value} lacking={lacking} onDone={() => { onPick(null); retry(); }} />
      ) : null}
    </div>
  );
  const detail = path === null || (value !== null && chosen === null) ? (
    <Empty icon={<EditIcon size={26} aria-hidden />} title={t(path === null ? "files:chooseChange" : "files:settled")}>
      <p>{t(path === null ? "files:chooseChangeWhy" : "files:settledWhy")}</p>
      {path === null ? null : <Button className="only-phone" onClick={() => onPick(null)}>{t("files:back")}</Button>}
    </Empty>
  ) : (
    <Review key={`${base} ${path}`} where={where} base={base} path={path} lacking={lacking} onBack={() => onPick(null)} onMarked={retry} />
  );
  return (
    <div className="files-tab" data-testid="changes">
      <SplitPane id="changes" label={t("files:width")} initial={320} min={220} max={560} first={side}
        second={<div className="file-pane">{detail}</div>} phone={path === null ? "first" : "second"} />
    </div>
  );
}

function Nothing({ words }: { words: string }): ReactNode {
  return <Empty icon={<CheckIcon size={26} aria-hidden />} title={t("files:nothing")}><p>{words}</p></Empty>;
}

function ChangeList({ label, items, chosen, onPick }: { label: string; items: Change[]; chosen: string | null; onPick: (path: string) => void }): ReactNode {
  if (items.length === 0) return null;
  return (
    <section aria-label={label}>
      <h3 className="change-title">{label}</h3>
      <ul role="list" className="file-hits">
        {items.map((item) => (
          <li key={item.path}>
            <button type="button" className="file-hit change" aria-current={item.path === chosen ? "true" : undefined} data-testid="change"
              data-staged={item.staged} onClick={() => onPick(item.path)}>
              <span className="file-state" data-state={item.status} title={stateWord(item.status)} aria-label={stateWord(item.status)} role="img">{item.status}</span>
              <span className="grow change-path">
                <span className="ellipsis">{item.path.split("/").at(-1)}</span>
                <span className="muted ellipsis">{item.path.split("/").slice(0, -1).join("/")}</span>
              </span>
              <Count change={item} />
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function stateWord(status: string): string {
  return t(`files:state.${status === "A" || status === "D" ? status : "M"}`);
}

function Count({ change: { added, deleted } }: { change: Change }): ReactNode {
  if (added === null) return <span className="muted">{t("files:notText")}</span>;
  return (
    <span className="diff-count" role="img" aria-label={t("files:lines", { added, deleted: deleted ?? 0 })}>
      {added > 0 ? <span className="add">+{added}</span> : null}
      {deleted ? <span className="del">−{deleted}</span> : null}
    </span>
  );
}

interface CommitProps {
  where: Where;
  changes: Changes;
  lacking: string | null;
  onDone: () => void;
}

function Commit({ where, changes, lacking, onDone }: CommitProps): ReactNode {
  const [message, setMessage] = useKept(`commit.${where.slug}.${where.session ?? ""}`);
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState<string | null>(null);
  const accepted = changes.items.filter((item) => item.staged).length;
  const why = lacking ?? (accepted === 0 ? t("files:nothingAccepted") : null);
  const commit = async (): Promise<void> => {
    setBusy(true);
    setRefused(null);
    try {
      const done = await files.commit(where, (message ?? "").trim());
      setMessage("");
      toast(t("files:committed", { commit: done.commit.slice(0, 8) }));
      onDone();
    } catch (error) {
      if (error instanceof ApiError && error.status === 409) setRefused(error.message);
      else toastError(error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form className="commit" onSubmit={(event) => { event.preventDefault(); void commit(); }}>
      {refused === null ? null : <Notice tone="bad">{refused}</Notice>}
      <textarea className="input" rows={3} value={message ?? ""} aria-label={t("files:message")} placeholder={t("files:message")} data-testid="commit-message"
        onChange={(event) => setMessage(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.form?.requestSubmit();
        }} />
      <Button type="submit" look="primary" busy={busy} disabled={why !== null || (message ?? "").trim() === ""} title={why ?? undefined} data-testid="commit">
        {t("files:commit", { count: accepted })}
      </Button>
      {why === null ? null : <p className="muted">{why}</p>}
    </form>
  );
}
