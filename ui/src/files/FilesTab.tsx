import "./files.css";
import { type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { IconButton } from "../design/Button.tsx";
import { useLatest, useOnReturn } from "../design/hooks.ts";
import { FolderHereIcon, LinkIcon, QuestionIcon, ReadIcon, RetryIcon, SearchIcon } from "../design/icons.tsx";
import { Empty, Skeleton } from "../design/parts.tsx";
import { SplitPane } from "../design/SplitPane.tsx";
import { TroubleView } from "../design/StateView.tsx";
import { Tree } from "../design/Tree.tsx";
import { t } from "../i18n/index.ts";
import { type Entry, files, type Hit, type Where } from "./calls.ts";
import { FileHead } from "./FileHead.tsx";
import { Preview } from "./Preview.tsx";
import { above, type Folders, nodesOf } from "./tree.ts";

export interface FilesProps {
  slug: string;
  session?: string | undefined;
  /** The file that is looked at. */
  path: string | null;
  line?: number | undefined;
  onPick: (path: string | null) => void;
}

/** The files of a project, or of a session's worktree: a tree and a search, and one of them beside it. */
export default function FilesTab({ slug, session, path, line, onPick }: FilesProps): ReactNode {
  const where = useMemo(() => ({ slug, session }), [slug, session]);
  const tree = useTree(where, path);
  const [wanted, setWanted] = useState("");
  const first = (
    <div className="file-side">
      <div className="file-find">
        <SearchIcon size={15} />
        <input className="input" type="search" value={wanted} placeholder={t("files:find")} aria-label={t("files:find")}
          onChange={(event) => setWanted(event.target.value)}
          onKeyDown={(event) => {
            const next = event.currentTarget.closest(".file-side")?.querySelector<HTMLElement>("[role=treeitem][tabindex='0'], .file-hit");
            if (event.key === "ArrowDown") next?.focus();
            if (event.key === "Enter" && wanted.trim() !== "") next?.click();
          }} />
        <IconButton label={t("files:refresh")} onClick={tree.again}><RetryIcon size={15} /></IconButton>
      </div>
      {wanted.trim() !== "" ? <Hits where={where} wanted={wanted.trim()} onPick={onPick} /> : tree.problem !== null ? (
        <TroubleView problem={tree.problem} retry={tree.again} />
      ) : tree.folders.get("") === undefined || tree.folders.get("") === null ? <Skeleton lines={8} /> : tree.nodes.length === 0 ? (
        <Empty icon={<FolderHereIcon size={26} />} title={t("files:noFiles")} words={t("files:noFilesWhy")} />
      ) : (
        <Tree label={t("files:tree")} nodes={tree.nodes} open={tree.open} onOpen={tree.toggle} selected={path} onSelect={(id) => onPick(id)} />
      )}
    </div>
  );
  const chosen = path === null ? null : tree.entry(path);
  const second = path === null ? (
    <Empty icon={<ReadIcon size={26} />} title={t("files:choose")} words={t("files:chooseWhy")} />
  ) : chosen !== null && (chosen.kind === "link" || chosen.kind === "other") ? (
    <>
      <FileHead path={path} onBack={() => onPick(null)} />
      <Empty icon={<QuestionIcon size={26} />} title={t(`files:kind.${chosen.kind}`)} words={t(`files:kindWhy.${chosen.kind}`)} />
    </>
  ) : (
    <Preview key={`${slug} ${session ?? ""} ${path}`} where={where} path={path} line={line}
      onBack={() => onPick(null)} onSaved={tree.again} />
  );
  return (
    <div className="files-tab" data-testid="files">
      <SplitPane id="files" label={t("files:width")} initial={280} min={180} max={520} first={first}
        second={<div className="file-pane">{second}</div>} phone={path === null ? "first" : "second"} />
    </div>
  );
}

interface TreeState {
  folders: Folders;
  nodes: ReturnType<typeof nodesOf>;
  open: ReadonlySet<string>;
  problem: unknown;
  again: () => void;
  toggle: (path: string, open: boolean) => void;
  entry: (path: string) => Entry | null;
}

/** Folders are looked at when they are opened, and again when the reader comes back to the page. */
function useTree(where: Where, reveal: string | null): TreeState {
  const [folders, setFolders] = useState<Folders>(new Map());
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const [problem, setProblem] = useState<unknown>(null);
  const current = useRef(where);
  const look = useCallback(async (path: string): Promise<void> => {
    setFolders((known) => (known.has(path) ? known : new Map(known).set(path, null)));
    try {
      const found = await files.list(where, path);
      if (current.current === where) setFolders((known) => new Map(known).set(path, found));
      if (path === "") setProblem(null);
    } catch (error) {
      if (current.current !== where) return;
      if (path === "") setProblem(error);
      setFolders((known) => new Map(known).set(path, []));
    }
  }, [where]);
  useEffect(() => {
    current.current = where;
    setFolders(new Map());
    setOpen(new Set());
    void look("");
  }, [where, look]);
  useEffect(() => {
    if (reveal === null) return;
    setOpen((now) => new Set([...now, ...above(reveal)]));
    for (const folder of above(reveal)) void look(folder);
  }, [reveal, look]);
  const shown = useLatest(open);
  const again = useCallback(() => {
    for (const folder of ["", ...shown.current]) void look(folder);
  }, [look]);
  useOnReturn(again);
  const toggle = (path: string, opened: boolean): void => {
    const next = new Set(open);
    if (opened) next.add(path);
    else next.delete(path);
    setOpen(next);
    if (opened) void look(path);
  };
  const nodes = useMemo(() => nodesOf(folders, (entry) => ({ icon: iconOf(entry), note: noteOf(entry) })), [folders]);
  const entry = (path: string): Entry | null =>
    folders.get(above(path).at(-1) ?? "")?.find((it) => path.endsWith(it.name)) ?? null;
  return { folders, nodes, open, problem, again, toggle, entry };
}

function iconOf(entry: Entry): ReactNode {
  if (entry.kind === "dir") return <FolderHereIcon size={15} />;
  if (entry.kind === "link") return <LinkIcon size={15} />;
  return entry.kind === "file" ? <ReadIcon size={15} /> : <QuestionIcon size={15} />;
}

/** Git's letter with its word for who does not see it. */
function noteOf({ state, kind }: Entry): ReactNode {
  if (state === null || (state === "!" && kind === "dir")) return null;
  const known = state === "M" || state === "A" || state === "D" || state === "?" || state === "!" ? state : "M";
  const word = t(`files:state.${known}`);
  return <span className="file-state" data-state={known} title={word} aria-label={word} role="img">{known === "?" ? "U" : known === "!" ? "·" : known}</span>;
}

function Hits({ where, wanted, onPick }: { where: Where; wanted: string; onPick: (path: string) => void }): ReactNode {
  const [hits, setHits] = useState<Hit[] | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const [tries, setTries] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(() => {
      files.find(where, wanted, stop.signal).then(
        (found) => (setHits(found), setProblem(null)),
        (error: unknown) => stop.signal.aborted || setProblem(error),
      );
    }, 120);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [where, wanted, tries]);
  if (problem !== null) return <TroubleView problem={problem} retry={() => setTries(tries + 1)} />;
  if (hits === null) return <Skeleton lines={6} />;
  if (hits.length === 0) return <p className="muted file-none" role="status">{t("files:noHits", { wanted })}</p>;
  return (
    <ul className="file-hits" role="list" aria-label={t("files:hits")}>
      {hits.map(({ path, kind }) => (
        <li key={path}>
          <button type="button" className="file-hit" disabled={kind === "link"} onClick={() => onPick(path)}
            onKeyDown={(event) => {
              const next = event.key === "ArrowDown" ? "nextElementSibling" : event.key === "ArrowUp" ? "previousElementSibling" : null;
              if (next === null) return;
              event.preventDefault();
              event.currentTarget.parentElement?.[next]?.querySelector("button")?.focus();
            }}>
            <span className="ellipsis">{path.split("/").at(-1)}</span>
            <span className="muted ellipsis">{above(path).at(-1) ?? ""}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}
