import { lazy, type ReactNode, Suspense, useCallback, useEffect, useState } from "react";
import { ApiError } from "../api/http.ts";
import { Button } from "../design/Button.tsx";
import { CopyButton } from "../design/CopyButton.tsx";
import { Dialog } from "../design/Dialog.tsx";
import { useOnReturn } from "../design/hooks.ts";
import { AlertIcon, LockIcon, ReadIcon, RenameIcon, RetryIcon } from "../design/icons.tsx";
import { useLoaded } from "../design/loaded.ts";
import { Badge, Empty, Notice, Skeleton } from "../design/parts.tsx";
import { Sentence } from "../design/Sentence.tsx";
import { StateView } from "../design/StateView.tsx";
import { useWork } from "../design/work.ts";
import { t } from "../i18n/index.ts";
import { useKept } from "../state/kept.ts";
import { lacks } from "../state/rights.ts";
import { useStore } from "../state/store.ts";
import { toast, toastError } from "../state/toasts.ts";
import { findProject, workspace } from "../state/workspace.ts";
import { bytes, when } from "../text/format.ts";
import { Markdown } from "../text/Markdown.tsx";
import { type Content, files, type Where } from "./calls.ts";
import { FileHead } from "./FileHead.tsx";
import { languageOf } from "./tree.ts";

const Editor = lazy(() => import("./Editor.tsx"));
const Merge = lazy(async () => ({ default: (await import("./Editor.tsx")).Merge }));

interface PreviewProps {
  where: Where;
  path: string;
  line?: number | undefined;
  onBack: () => void;
  onSaved: () => void;
}

/** One file: looked at, and edited where the reader may. What is typed is kept in the browser until it is saved. */
export function Preview({ where, path, line, onBack, onSaved }: PreviewProps): ReactNode {
  const { slug, session } = where;
  const loaded = useLoaded(() => files.read({ slug, session }, path), JSON.stringify([slug, session, path]));
  const { retry, value } = loaded;
  useOnReturn(retry);
  if (value === null) return <><FileHead path={path} onBack={onBack} /><StateView of={loaded}>{() => null}</StateView></>;
  return <Shown where={where} found={value} line={line} onBack={onBack} onAgain={retry} onSaved={onSaved} />;
}

interface Draft {
  text: string;
  /** Of the content that was changed; null for a file that is gone. */
  base: string | null;
}

/** A draft outlives the page, with the content that it was made from. */
function useDraft(where: Where, path: string): [Draft | null, (draft: Draft | null) => void] {
  const [kept, setKept] = useKept(`file.${where.slug}.${where.session ?? ""}.${path}`);
  const set = useCallback((draft: Draft | null) => setKept(draft === null ? "" : JSON.stringify(draft)), [setKept]);
  return [kept === null || kept === "" ? null : (JSON.parse(kept) as Draft), set];
}

interface ShownProps extends Omit<PreviewProps, "path"> {
  found: Content;
  onAgain: () => void;
}

function Shown({ where, found, line, onBack, onAgain, onSaved }: ShownProps): ReactNode {
  const { path } = found;
  const [draft, setDraft] = useDraft(where, path);
  const [editing, setEditing] = useState(draft !== null);
  const [source, setSource] = useState(line !== undefined);
  const { busy: saving, run } = useWork(toastError);
  const [theirs, setTheirs] = useState<Content | null>(null);
  const lacking = lacks(findProject(useStore(workspace), where.slug), found.guarded ? "owner" : "editor");
  const text = found.kind === "text" ? found.text : null;
  const unsaved = draft !== null && draft.text !== text;
  useEffect(() => {
    if (!unsaved) return undefined;
    const ask = (event: BeforeUnloadEvent): void => event.preventDefault();
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, [unsaved]);

  const leave = (): void => {
    setDraft(null);
    setTheirs(null);
    setEditing(false);
  };
  const write = async (wanted: string, base: string | null): Promise<void> => {
    try {
      await files.write(where, path, wanted, base);
      leave();
      toast(t("files:saved", { path }));
      onAgain();
      onSaved();
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 409)) throw error;
      setTheirs(await files.read(where, path).catch(() => gone(found)));
    }
  };
  const save = (wanted: string, base: string | null): void => void run(() => write(wanted, base));
  const saveDraft = (): void => void (draft !== null && save(draft.text, draft.base));
  const edit = (next: string): void => {
    const base = draft?.base ?? found.hash;
    setDraft(next === text && base === found.hash ? null : { text: next, base });
  };
  const marked = languageOf(path) === "markdown";
  return (
    <>
      <FileHead path={path} onBack={onBack}>
        {unsaved ? <Badge tone="accent">{t("files:unsaved")}</Badge> : null}
        {found.guarded ? (
          <span title={t("files:guarded")} className="file-lock"><LockIcon size={14} aria-label={t("files:guarded")} /></span>
        ) : null}
        <span className="muted file-facts">{bytes(found.size)} · {when(found.modified)}</span>
        {text === null ? null : editing ? (
          <>
            <Button small onClick={leave}>{t(unsaved ? "files:discard" : "files:done")}</Button>
            <Button small look="primary" busy={saving} disabled={!unsaved} data-testid="save" onClick={saveDraft}>{t("files:save")}</Button>
          </>
        ) : (
          <>
            {marked ? (
              <Button small look="ghost" aria-pressed={source} onClick={() => setSource(!source)}>
                {t(source ? "files:rendered" : "files:source")}
              </Button>
            ) : null}
            <CopyButton text={() => text} label={t("files:copy")} />
            <Button small disabled={lacking !== null} title={lacking ?? undefined} data-testid="edit" onClick={() => setEditing(true)}>
              <RenameIcon size={14} /> {t("files:edit")}
            </Button>
          </>
        )}
      </FileHead>
      {unsaved && draft.base !== found.hash ? (
        <Notice tone="accent" act={<Button small onClick={() => setTheirs(found)}>{t("files:compare")}</Button>}>{t("files:moved")}</Notice>
      ) : null}
      <Suspense fallback={<Skeleton lines={8} />}>
        {text === null ? <NoText found={found} onAgain={onAgain} /> : editing ? (
          <Editor path={path} text={draft?.text ?? text} line={line} onSave={saveDraft} onChange={edit} />
        ) : marked && !source ? (
          <div className="file-read" tabIndex={0}><Markdown text={text} /></div>
        ) : <Editor path={path} text={text} line={line} />}
      </Suspense>
      {theirs === null || draft === null ? null : (
        <Conflict path={path} theirs={theirs} mine={draft.text} saving={saving} onClose={() => setTheirs(null)}
          onSave={(wanted) => save(wanted, theirs.hash === "" ? null : theirs.hash)} onTheirs={() => { leave(); onAgain(); }} />
      )}
    </>
  );
}

/** A file that was removed while it was edited. */
function gone(found: Content): Content {
  return { path: found.path, size: 0, hash: "", modified: found.modified, guarded: found.guarded, kind: "text", text: "" };
}

function NoText({ found, onAgain }: { found: Content; onAgain: () => void }): ReactNode {
  if (found.kind === "image")
    return (
      <div className="file-image">
        <img src={`data:${found.type};base64,${found.data}`} alt={t("files:imageOf", { path: found.path })} />
      </div>
    );
  return (
    <Empty icon={<ReadIcon size={26} />} title={t(found.kind === "large" ? "files:large" : "files:binary")}
      words={t(found.kind === "large" ? "files:largeWhy" : "files:binaryWhy", { size: bytes(found.size) })}>
      <Button onClick={onAgain}><RetryIcon size={15} /> {t("files:again")}</Button>
    </Empty>
  );
}

interface ConflictProps {
  path: string;
  theirs: Content;
  mine: string;
  saving: boolean;
  onClose: () => void;
  onSave: (text: string) => void;
  onTheirs: () => void;
}

/** Both texts, and nothing lost: mine is changed until it is right, or given up on purpose. */
function Conflict({ path, theirs, mine, saving, onClose, onSave, onTheirs }: ConflictProps): ReactNode {
  const [text, setText] = useState(mine);
  const foot = (
    <>
      <Button onClick={onTheirs}>{t("files:takeTheirs")}</Button>
      <Button look="primary" busy={saving} data-testid="save-mine" onClick={() => onSave(text)}>{t("files:saveMine")}</Button>
    </>
  );
  return (
    <Dialog title={t("files:conflict")} wide onClose={onClose} foot={foot}>
      <div className="file-conflict" data-testid="conflict">
        <p><AlertIcon size={15} /> <Sentence text={t(theirs.hash === "" ? "files:conflictGone" : "files:conflictWhy", { path })} /></p>
        <div className="file-sides" aria-hidden><span>{t("files:theirs")}</span><span>{t("files:mine")}</span></div>
        <Suspense fallback={<Skeleton lines={6} />}>
          <Merge path={path} theirs={theirs.kind === "text" ? theirs.text : ""} mine={mine} onChange={setText} />
        </Suspense>
      </div>
    </Dialog>
  );
}
