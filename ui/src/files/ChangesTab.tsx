import "./files.css";
import { type FormEvent, type ReactNode, useMemo, useState } from "react";
import { ApiError } from "../api/http.ts";
import { Button, IconButton } from "../design/Button.tsx";
import { DiffCount } from "../design/DiffView.tsx";
import { useOnReturn } from "../design/hooks.ts";
import { BranchIcon, CheckIcon, EditIcon, RetryIcon } from "../design/icons.tsx";
import { useLoaded } from "../design/loaded.ts";
import { Empty, Problem } from "../design/parts.tsx";
import { Segments } from "../design/Segments.tsx";
import { SplitPane } from "../design/SplitPane.tsx";
import { StateView } from "../design/StateView.tsx";
import { useWork } from "../design/work.ts";
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
  useOnReturn(retry);
  const chosen = value?.items.find((item) => item.path === path) ?? null;
  const lacking = lacks(findProject(useStore(workspace), slug), "editor");
  const none = problem instanceof ApiError && problem.details["no_repository"] === true;
  const idle = base === "session" && problem instanceof ApiError && problem.status === 404;
  const side = (
    <div className="file-side">
      <div className="change-head">
        {session === undefined ? (
          <span className="change-branch ellipsis"><BranchIcon size={14} /> {value?.branch ?? t("files:noBranch")}</span>
        ) : (
          <Segments aria-label={t("files:against")} of={["session", "head"]} now={base} onChoose={setBase}
            words={(each) => t(`files:base.${each}`)} />
        )}
        <IconButton label={t("files:refresh")} onClick={retry}><RetryIcon size={15} /></IconButton>
      </div>
      {none ? (
        <Empty icon={<BranchIcon size={26} />} title={t("files:noRepository")} words={t("files:noRepositoryWhy")}>
          <pre className="change-how"><code>git init</code></pre>
          <Button onClick={retry}>{t("files:again")}</Button>
        </Empty>
      ) : idle ? <Nothing words={t("files:notBegun")} /> : (
        <StateView of={loaded}>
          {({ items }) => {
            const [open, staged] = [items.filter((it) => !it.staged), items.filter((it) => it.staged)];
            const left = t(base === "head" ? "files:toReview" : "files:changed", { count: open.length });
            if (items.length === 0) return <Nothing words={t(base === "head" ? "files:nothingWhy" : "files:nothingHere")} />;
            return (
              <>
                <ChangeList label={left} items={open} chosen={path} onPick={onPick} />
                <ChangeList label={t("files:accepted", { count: staged.length })} items={staged} chosen={path} onPick={onPick} />
              </>
            );
          }}
        </StateView>
      )}
      {value !== null && base === "head" && value.items.length > 0 ? (
        <Commit where={where} changes={value} lacking={lacking} onDone={() => { onPick(null); retry(); }} />
      ) : null}
    </div>
  );
  const detail = path === null || (value !== null && chosen === null) ? (
    <Empty icon={<EditIcon size={26} />} title={t(path === null ? "files:chooseChange" : "files:settled")}
      words={t(path === null ? "files:chooseChangeWhy" : "files:settledWhy")}>
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
  return <Empty icon={<CheckIcon size={26} />} title={t("files:nothing")} words={words} />;
}

function ChangeList({ label, items, chosen, onPick }: { label: string; items: Change[]; chosen: string | null; onPick: (path: string) => void }): ReactNode {
  if (items.length === 0) return null;
  return (
    <section aria-label={label}>
      <h2 className="change-title">{label}</h2>
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
              {item.added === null ? <span className="muted">{t("files:notText")}</span> : (
                <DiffCount file={{ added: item.added, removed: item.deleted ?? 0 }} />
              )}
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

interface CommitProps {
  where: Where;
  changes: Changes;
  lacking: string | null;
  onDone: () => void;
}

function Commit({ where, changes, lacking, onDone }: CommitProps): ReactNode {
  const [message, setMessage] = useKept(`commit.${where.slug}.${where.session ?? ""}`);
  const { busy, problem, setProblem, run } = useWork((error) => {
    if (error instanceof ApiError && error.status === 409) setProblem(error.message);
    else toastError(error);
  });
  const text = (message ?? "").trim();
  const accepted = changes.items.filter((item) => item.staged).length;
  const why = lacking ?? (accepted === 0 ? t("files:nothingAccepted") : null);
  const commit = async (): Promise<void> => {
    const done = await files.commit(where, text);
    setMessage("");
    toast(t("files:committed", { commit: done.commit.slice(0, 8) }));
    onDone();
  };
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void run(commit);
  };
  return (
    <form className="commit" onSubmit={submit}>
      <Problem text={problem} />
      <textarea className="input" rows={3} value={message ?? ""} aria-label={t("files:message")}
        placeholder={t("files:message")} data-testid="commit-message" onChange={(event) => setMessage(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.form?.requestSubmit();
        }} />
      <Button type="submit" look="primary" busy={busy} disabled={why !== null || text === ""}
        title={why ?? undefined} data-testid="commit">
        {t("files:commit", { count: accepted })}
      </Button>
      {why === null ? null : <p className="muted">{why}</p>}
    </form>
  );
}
