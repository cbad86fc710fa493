import { type ReactNode, useEffect, useRef, useState } from "react";
import { api } from "../api/client.ts";
import type { Project, Session } from "../api/types.ts";
import { ApiError } from "../api/http.ts";
import { Button, IconButton } from "../design/Button.tsx";
import { copyText } from "../design/CopyButton.tsx";
import {
  ArchiveIcon,
  CageIcon,
  CopyIcon,
  HistoryIcon,
  MoreIcon,
  RenameIcon,
  TerminalIcon,
  TranscriptIcon,
} from "../design/icons.tsx";
import { Dialog } from "../design/Dialog.tsx";
import { Badge, Dot } from "../design/parts.tsx";
import { MenuItem, Popover } from "../design/Popover.tsx";
import { Sentence } from "../design/Sentence.tsx";
import { isActive, type Run, type Transcript } from "../journal/model.ts";
import { asText } from "../journal/text.ts";
import { Header } from "../shell/Header.tsx";
import { go, linkTo, type Place, type View } from "../state/router.ts";
import { toast, toastError } from "../state/toasts.ts";
import { placeSession, refreshSessions } from "../state/workspace.ts";
import { withinProject } from "../text/paths.ts";
import { AgentTree } from "./agents/AgentTree.tsx";
import { AlsoHere } from "./AlsoHere.tsx";
import { Checkpoints } from "./checkpoints/Checkpoints.tsx";
import { WorktreeBar } from "./checkpoints/WorktreeBar.tsx";
import { useSession } from "./context.ts";
import { runWords } from "./runWords.ts";

interface SessionHeaderProps {
  title: string;
  project: Project | null;
  session: Session | null;
  run: Run | null;
  view: View;
  transcript: Transcript;
  onMenu: () => void;
}

export function SessionHeader(props: SessionHeaderProps): ReactNode {
  const { title, project, session, run, view, transcript, onMenu } = props;
  const scope = useSession();
  const [renaming, setRenaming] = useState(false);
  const [history, setHistory] = useState(false);
  const [losing, setLosing] = useState<string | null>(null);
  const atWork = isActive(run) || run?.state === "interrupted";
  const words = runWords(run);
  const model = (isActive(run) ? run?.model : null) || project?.route?.label || run?.model || "";
  const place: Place = { page: "session", project: scope.project, session: scope.session, view, terminal: null };

  const archive = async (force: boolean): Promise<void> => {
    setLosing(null);
    try {
      await api.archiveSession(scope.project, scope.session, force);
      await refreshSessions(scope.project);
      go({ page: "project", project: scope.project });
      toast("The session is archived. Its journal is kept.");
    } catch (error) {
      if (error instanceof ApiError && "unkept" in error.details) setLosing(error.message);
      else toastError(error);
    }
  };

  return (
    <Header
      onMenu={onMenu}
      title={<Title title={title} editing={renaming} onEdit={setRenaming} />}
      below={
        <div className="session-facts">
          <CageWords project={project} run={run} />
          {session?.workspace === "worktree" ? <WorktreeBar idle={!atWork} /> : null}
          {model === "" ? null : <span className="session-model">{model}</span>}
          <AgentTree transcript={transcript} />
        </div>
      }
    >
      <AlsoHere />
      <span className="run-state" data-testid="run-state" data-state={run?.state ?? "idle"}>
        <Badge tone={words.tone}>
          <Dot state={words.dot} /> <span>{words.label}</span>
        </Badge>
      </span>
      <div className="segments" role="group" aria-label="View">
        <a
          className="segment"
          aria-current={view === "transcript" ? "page" : undefined}
          {...linkTo({ ...place, view: "transcript" })}
        >
          <TranscriptIcon size={15} aria-hidden /> <span>Transcript</span>
        </a>
        <a
          className="segment"
          data-testid="terminal-tab"
          aria-current={view === "terminal" ? "page" : undefined}
          {...linkTo({ ...place, view: "terminal" })}
        >
          <TerminalIcon size={15} aria-hidden /> <span>Terminal</span>
        </a>
      </div>
      <Popover
        end
        menu
        label="Session"
        anchor={(attributes) => (
          <IconButton label="More" {...attributes}>
            <MoreIcon size={17} />
          </IconButton>
        )}
      >
        {(close) => (
          <>
            <MenuItem
              icon={<HistoryIcon size={15} />}
              data-testid="checkpoints"
              onClick={() => {
                close();
                setHistory(true);
              }}
            >
              Checkpoints
            </MenuItem>
            <MenuItem
              icon={<RenameIcon size={15} />}
              disabled={scope.readOnly !== null}
              title={scope.readOnly ?? undefined}
              onClick={() => {
                close();
                setRenaming(true);
              }}
            >
              Rename
            </MenuItem>
            <MenuItem
              icon={<CopyIcon size={15} />}
              onClick={() => {
                close();
                void copyText(asText(transcript)).then((done) => done && toast("The transcript is copied."));
              }}
            >
              Copy the transcript
            </MenuItem>
            <MenuItem
              icon={<ArchiveIcon size={15} />}
              disabled={scope.readOnly !== null}
              title={scope.readOnly ?? undefined}
              onClick={() => {
                close();
                void archive(false);
              }}
            >
              Archive
            </MenuItem>
          </>
        )}
      </Popover>
      {history ? (
        <Checkpoints onClose={() => setHistory(false)} busy={atWork ? "A run is going: stop it to restore." : null} />
      ) : null}
      {losing === null ? null : (
        <Dialog
          title="Archive, and lose its work?"
          onClose={() => setLosing(null)}
          foot={
            <Button look="danger" data-testid="archive-anyway" onClick={() => void archive(true)}>
              Archive anyway
            </Button>
          }
        >
          <p>
            <Sentence text={losing} />
          </p>
        </Dialog>
      )}
    </Header>
  );
}

interface TitleProps {
  title: string;
  editing: boolean;
  onEdit: (editing: boolean) => void;
}

function Title({ title, editing, onEdit }: TitleProps): ReactNode {
  const scope = useSession();
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (editing) input.current?.select();
  }, [editing]);

  const save = async (): Promise<void> => {
    const next = input.current?.value.trim() ?? "";
    onEdit(false);
    if (next === "" || next === title) return;
    try {
      placeSession(await api.renameSession(scope.project, scope.session, next));
    } catch (error) {
      toastError(error);
    }
  };

  if (!editing) {
    return (
      <h1 className="session-title ellipsis">
        <button
          type="button"
          title={scope.readOnly ?? "Rename"}
          disabled={scope.readOnly !== null}
          onClick={() => onEdit(true)}
        >
          {title || "Untitled session"}
        </button>
      </h1>
    );
  }
  return (
    <form
      className="session-title"
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      <input
        ref={input}
        className="input"
        aria-label="Title"
        defaultValue={title}
        maxLength={200}
        onBlur={() => void save()}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          event.stopPropagation();
          if (input.current !== null) input.current.value = title;
          onEdit(false);
        }}
      />
    </form>
  );
}

/** What the cage allows, in words, always in sight; opens to the whole explanation. */
function CageWords({ project, run }: { project: Project | null; run: Run | null }): ReactNode {
  const words = (isActive(run) ? run?.cage : "") || project?.cage?.words || run?.cage || "";
  if (words === "") return null;
  return (
    <Popover
      label="What the cage allows"
      anchor={(attributes) => (
        <button type="button" className="cage-words" data-testid="cage-words" title={words} {...attributes}>
          <CageIcon size={14} aria-hidden />
          <span>{words}</span>
        </button>
      )}
    >
      {() => (
        <div className="cage-explain">
          <h2>The cage of this agent</h2>
          <ul>
            {(project?.cage?.explain ?? [words]).map((line) => (
              <li key={line}>
                <Sentence text={withinProject(line, project?.path ?? "")} />
              </li>
            ))}
          </ul>
          {run === null || run.instructions.length === 0 ? null : (
            <p>Instructions read from the project: {run.instructions.join(", ")}.</p>
          )}
          <p className="muted">
            Everything the agent runs is inside: commands, file tools, searches, and terminals opened here.
          </p>
        </div>
      )}
    </Popover>
  );
}
