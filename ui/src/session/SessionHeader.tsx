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
  InspectorIcon,
  MoreIcon,
  RenameIcon,
  TerminalIcon,
  TranscriptIcon,
} from "../design/icons.tsx";
import { t } from "../i18n/index.ts";
import { useStore } from "../state/store.ts";
import { Dialog } from "../design/Dialog.tsx";
import { Badge, Dot } from "../design/parts.tsx";
import { MenuItem, Popover } from "../design/Popover.tsx";
import { Sentence } from "../design/Sentence.tsx";
import { isActive, type Run, type Transcript } from "../journal/model.ts";
import { asText } from "../journal/text.ts";
import { Header } from "../shell/Header.tsx";
import { go, linkTo, type Place, type View } from "../state/router.ts";
import { toast, toastError } from "../state/toasts.ts";
import { refreshSessions } from "../state/workspace.ts";
import { withinProject } from "../text/paths.ts";
import { AgentTree } from "./agents/AgentTree.tsx";
import { AlsoHere } from "./AlsoHere.tsx";
import { Checkpoints } from "./checkpoints/Checkpoints.tsx";
import { SessionChanges } from "../files/SessionChanges.tsx";
import { WorktreeBar } from "./checkpoints/WorktreeBar.tsx";
import { renameSession } from "./acts.ts";
import { useSession } from "./context.ts";
import { inspector, panel, toggleInspector } from "./panel.ts";
import { runWords } from "./runWords.ts";

const VIEWS = [
  ["transcript", TranscriptIcon, "session:transcript"],
  ["terminal", TerminalIcon, "session:terminal"],
] as const;

interface SessionHeaderProps {
  title: string;
  project: Project | null;
  session: Session | null;
  run: Run | null;
  view: View;
  transcript: Transcript;
}

export function SessionHeader(props: SessionHeaderProps): ReactNode {
  const { title, project, session, run, view, transcript } = props;
  const scope = useSession();
  const open = useStore(panel);
  const inspecting = useStore(inspector);
  const [losing, setLosing] = useState<string | null>(null);
  const atWork = isActive(run) || run?.state === "interrupted";
  const words = runWords(run);
  const place: Place = { page: "session", project: scope.project, session: scope.session, view, terminal: null };

  const archive = async (force: boolean): Promise<void> => {
    setLosing(null);
    try {
      await api.archiveSession(scope.project, scope.session, force);
      await refreshSessions(scope.project);
      go({ page: "project", project: scope.project });
      toast(t("session:archivedToast"));
    } catch (error) {
      if (error instanceof ApiError && "unkept" in error.details) setLosing(error.message);
      else toastError(error);
    }
  };

  useEffect(() => {
    if (open?.kind !== "archive") return;
    panel.set(null);
    void archive(false);
  });

  const copy = async (): Promise<void> => void ((await copyText(asText(transcript))) && toast(t("session:copied")));
  const lacking = scope.readOnly;
  const acts = [
    {
      id: "checkpoints",
      Icon: HistoryIcon,
      words: t("session:checkpoint.title"),
      run: () => panel.set({ kind: "checkpoints", id: null }),
    },
    { id: "rename", Icon: RenameIcon, words: t("session:rename"), lacking, run: () => panel.set({ kind: "rename" }) },
    { id: "copy", Icon: CopyIcon, words: t("session:copyTranscript"), run: () => void copy() },
    {
      id: "archive",
      Icon: ArchiveIcon,
      words: t("session:archive"),
      lacking,
      run: () => panel.set({ kind: "archive" }),
    },
  ];
  return (
    <Header
      title={<Title title={title} editing={open?.kind === "rename"} />}
      below={
        <div className="session-facts">
          <CageWords project={project} run={run} />
          {session?.workspace === "worktree" ? <WorktreeBar idle={!atWork} /> : null}
          <SessionChanges slug={place.project} session={place.session} idle={!atWork} />
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
      <div className="segments" role="group" aria-label={t("session:view")}>
        {VIEWS.map(([name, Icon, words]) => (
          <a
            key={name}
            className="segment"
            data-testid={`${name}-tab`}
            aria-label={t(words)}
            aria-current={view === name ? "page" : undefined}
            {...linkTo({ ...place, view: name })}
          >
            <Icon size={15} aria-hidden /> <span>{t(words)}</span>
          </a>
        ))}
      </div>
      <IconButton
        label={t("session:inspector")}
        className="inspect"
        aria-pressed={inspecting}
        data-testid="inspect"
        onClick={toggleInspector}
      >
        <InspectorIcon size={17} />
      </IconButton>
      <Popover
        end
        menu
        label={t("session:session")}
        anchor={(attributes) => (
          <IconButton label={t("session:more")} {...attributes}>
            <MoreIcon size={17} />
          </IconButton>
        )}
      >
        {(close) =>
          acts.map(({ id, Icon, words, lacking = null, run }) => (
            <MenuItem
              key={id}
              icon={<Icon size={15} />}
              data-testid={id}
              disabled={lacking !== null}
              title={lacking ?? undefined}
              onClick={() => {
                close();
                run();
              }}
            >
              {words}
            </MenuItem>
          ))
        }
      </Popover>
      {open?.kind === "checkpoints" ? (
        <Checkpoints
          key={open.id}
          first={open.id}
          comparing={open.compare === true}
          marks={transcript.marks}
          onClose={() => panel.set(null)}
          busy={atWork ? t("session:checkpoint.busy") : null}
        />
      ) : null}
      {losing === null ? null : (
        <Dialog
          title={t("session:loseWork")}
          onClose={() => setLosing(null)}
          foot={
            <Button look="danger" data-testid="archive-anyway" onClick={() => void archive(true)}>
              {t("session:archiveAnyway")}
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

function Title({ title, editing }: { title: string; editing: boolean }): ReactNode {
  const scope = useSession();
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (editing) input.current?.select();
  }, [editing]);

  const save = (): void => {
    const next = input.current?.value.trim() ?? "";
    panel.set(null);
    if (next !== "" && next !== title) void renameSession(scope.project, scope.session, next);
  };

  if (!editing) {
    return (
      <h1 className="session-title ellipsis">
        <button
          type="button"
          title={scope.readOnly ?? t("session:rename")}
          disabled={scope.readOnly !== null}
          onClick={() => panel.set({ kind: "rename" })}
        >
          {title || t("session:untitled")}
        </button>
      </h1>
    );
  }
  return (
    <form
      className="session-title"
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <input
        ref={input}
        className="input"
        aria-label={t("session:titleLabel")}
        defaultValue={title}
        maxLength={200}
        onBlur={save}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          event.stopPropagation();
          if (input.current !== null) input.current.value = title;
          panel.set(null);
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
      label={t("session:cage.label")}
      anchor={(attributes) => (
        <button type="button" className="cage-words" data-testid="cage-words" title={words} {...attributes}>
          <CageIcon size={14} aria-hidden />
          <span>{words}</span>
        </button>
      )}
    >
      {() => (
        <div className="cage-explain">
          <h2>{t("session:cage.title")}</h2>
          <ul>
            {(project?.cage?.explain ?? [words]).map((line) => (
              <li key={line}>
                <Sentence text={withinProject(line, project?.path ?? "")} />
              </li>
            ))}
          </ul>
          {run === null || run.instructions.length === 0 ? null : (
            <p>{t("session:cage.instructions", { files: run.instructions.join(", ") })}</p>
          )}
          <p className="muted">{t("session:cage.inside")}</p>
        </div>
      )}
    </Popover>
  );
}
