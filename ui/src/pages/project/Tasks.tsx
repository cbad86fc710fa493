import { type ReactNode, useEffect } from "react";
import { api } from "../../api/client.ts";
import type { Task } from "../../api/types.ts";
import { Button } from "../../design/Button.tsx";
import { InterruptIcon, ResumeIcon, ToolIcon } from "../../design/icons.tsx";
import { useLoaded } from "../../design/loaded.ts";
import { Empty } from "../../design/parts.tsx";
import { StateView } from "../../design/StateView.tsx";
import { useWork } from "../../design/work.ts";
import { t } from "../../i18n/index.ts";
import { lacks } from "../../state/rights.ts";
import { go, linkTo } from "../../state/router.ts";
import { ago } from "../../text/format.ts";
import type { TabProps } from "../ProjectPage.tsx";
import { TerminalState } from "../TerminalList.tsx";

const LOOK_MS = 2000;
const EXAMPLE = 'tasks:\n  test: {run: "make test"}\n  serve: {run: "./serve --port 8000", description: For the browser}';

/** The commands that the project file names: launched, watched and stopped here. */
export default function Tasks({ project }: TabProps): ReactNode {
  const { slug } = project;
  const held = useLoaded(async () => (await api.tasks(slug)).items, `${slug} ${project.hash}`);
  const { value: tasks, retry: look, act } = held;
  const going = tasks?.some(({ last }) => last?.state === "open") ?? false;
  useEffect(() => {
    if (!going) return undefined;
    // Ends of terminals are told to those who have them open; here one look at a time is enough.
    const timer = setInterval(() => document.hidden || void look(), LOOK_MS);
    return () => clearInterval(timer);
  }, [going, look]);

  const start = (name: string): Promise<void> =>
    act(api.startTask(slug, name).then(({ id }) => go({ page: "terminals", terminal: id })));
  const lacking = lacks(project, "editor") ?? (project.trust === "trusted" ? null : t("project:tasks.untrusted"));
  const none = (
    <Empty icon={<ToolIcon size={26} />} title={t("project:tasks.none")} words={t("project:tasks.noneWhy")}>
      <pre className="example">{EXAMPLE}</pre>
    </Empty>
  );
  return (
    <StateView of={held} lines={4} empty={none}>
      {(rows) => (
        <ul role="list" className="card list" data-testid="tasks">
          {rows.map((task) => (
            <Line key={task.name} task={task} lacking={lacking} onStart={() => start(task.name)}
              onStop={(id) => act(api.closeTerminal(id))} />
          ))}
        </ul>
      )}
    </StateView>
  );
}

interface LineProps {
  task: Task;
  lacking: string | null;
  onStart: () => Promise<void>;
  onStop: (terminal: string) => Promise<void>;
}

function Line({ task: { name, run: command, description, last }, lacking, onStart, onStop }: LineProps): ReactNode {
  const { busy, run } = useWork();
  const open = last?.state === "open";
  const Icon = open ? InterruptIcon : ResumeIcon;
  return (
    <li className="list-line task-line" data-testid="task" data-task={name}>
      <div className="task">
        <span className="task-name">{name}</span>
        {description === null ? null : <span className="muted">{description}</span>}
        <code>{command}</code>
      </div>
      <div className="task-state">
        {last === null ? null : (
          <>
            <a {...linkTo({ page: "terminals", terminal: last.id })} aria-label={t("project:tasks.output", { name })}>
              <TerminalState terminal={last} />
            </a>
            <time className="muted" dateTime={last.created_at}>{ago(last.created_at)}</time>
          </>
        )}
      </div>
      <Button small busy={busy} disabled={lacking !== null} title={lacking ?? undefined}
        aria-label={t(open ? "project:tasks.stopOne" : "project:tasks.runOne", { name })}
        onClick={() => void run(() => (open ? onStop(last.id) : onStart()))}>
        {busy ? null : <Icon size={12} fill="currentColor" />} {t(open ? "project:tasks.stop" : "project:tasks.run")}
      </Button>
    </li>
  );
}
