import type { ReactNode } from "react";
import { AgentIcon } from "../../design/icons.tsx";
import { Dot } from "../../design/parts.tsx";
import { Popover } from "../../design/Popover.tsx";
import { t } from "../../i18n/index.ts";
import { currentRun, isActive, type Transcript } from "../../journal/model.ts";
import { runWords } from "../runWords.ts";
import { doing, spent, StopAgent } from "./parts.tsx";

/** The sub-agents of the newest run, live: who works for whom, at what, for how much. */
export function AgentTree({ transcript }: { transcript: Transcript }): ReactNode {
  const tree = below(transcript, transcript.runId ?? "", 0);
  if (tree.length === 0) return null;
  const working = tree.filter(({ agent }) => isActive(currentRun(agent))).length;
  return (
    <Popover
      end
      label={t("session:agents.label")}
      anchor={(attributes) => (
        <button type="button" className="cage-words agent-count" data-testid="agent-tree" {...attributes}>
          <AgentIcon size={14} aria-hidden />
          <span>
            {working > 0 ? t("session:agents.of", { working, all: tree.length }) : tree.length}
            {working > 0 ? <span className="agent-count-words"> {t("session:agents.atWork")}</span> : null}
          </span>
          <span className="hidden-text">{t("session:agents.label")}</span>
        </button>
      )}
    >
      {(close) => <AgentList transcript={transcript} mark="agent-node" onGo={close} />}
    </Popover>
  );
}

/** The sub-agents of the newest run, each before those that work for it; each leads to its card. */
export function AgentList({ transcript, mark, onGo }: { transcript: Transcript; mark: string; onGo: () => void }): ReactNode {
  return (
    <ul role="list" className="agent-tree">
      {below(transcript, transcript.runId ?? "", 0).map(({ agent, depth }) => (
        <li key={agent.runId} style={{ paddingLeft: `${depth * 18}px` }} data-testid={mark}>
          <Dot state={runWords(currentRun(agent)).dot} label={runWords(currentRun(agent)).label} />
          <button
            type="button"
            className="agent-link grow"
            onClick={() => {
              onGo();
              scrollTo(transcript, agent);
            }}
          >
            <strong>{agent.facts?.name}</strong>
            <span className="muted ellipsis">{doing(agent) ?? runWords(currentRun(agent)).label}</span>
            <span className="muted">{spent(agent)}</span>
          </button>
          {isActive(currentRun(agent)) ? <StopAgent agent={agent} /> : null}
        </li>
      ))}
    </ul>
  );
}

interface Node {
  agent: Transcript; depth: number;
}

/** Every sub-agent below a run, each before those that work for it. */
function below(transcript: Transcript, runId: string, depth: number): Node[] {
  return Object.values(transcript.agents)
    .filter((agent) => agent.facts?.parentRun === runId)
    .flatMap((agent) => [{ agent, depth }, ...below(transcript, agent.runId ?? "", depth + 1)]);
}

/** To the agent's card, or to that of the nearest one above it which is open. */
function scrollTo({ agents }: Transcript, agent: Transcript): void {
  const card = document.getElementById(`agent-${agent.runId}`);
  const above = agents[agent.facts?.parentRun ?? ""];
  if (card !== null) card.scrollIntoView({ block: "start", behavior: "smooth" });
  else if (above !== undefined) scrollTo({ agents } as Transcript, above);
}
