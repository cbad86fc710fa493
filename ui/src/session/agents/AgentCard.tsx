import { type ReactNode, useId, useState } from "react";
import { Button } from "../../design/Button.tsx";
import { useNow } from "../../design/hooks.ts";
import { AgentIcon, CageIcon, ChevronIcon } from "../../design/icons.tsx";
import { Dot } from "../../design/parts.tsx";
import { Sentence } from "../../design/Sentence.tsx";
import { t } from "../../i18n/index.ts";
import { currentRun, isActive, type Item, type Transcript } from "../../journal/model.ts";
import { duration, elapsed } from "../../text/format.ts";
import { useSession } from "../context.ts";
import { runWords } from "../runWords.ts";
import { doing, spent, StopAgent } from "./parts.tsx";

const FIRST_SHOWN = 40;

interface AgentCardProps {
  agent: Transcript;
  /** Whether it, or one below it, has a question: that must not stay hidden. */
  asking: boolean;
  /** Draws rows of its transcript. */
  children: (items: readonly Item[]) => ReactNode;
}

/** A sub-agent in the place of the call that it works for: what it does now, what it used, and its own transcript. */
export function AgentCard({ agent, asking, children }: AgentCardProps): ReactNode {
  const { live } = useSession();
  const [chosen, setChosen] = useState<boolean | null>(null);
  const [all, setAll] = useState(false);
  const bodyId = useId();
  const run = currentRun(agent);
  const active = isActive(run);
  const now = useNow(active);
  const { facts, items } = agent;
  if (run === null || facts === null) return null;
  const open = chosen ?? asking;
  const took = (run.endedAt === "" ? now - live.skewMs : Date.parse(run.endedAt)) - Date.parse(run.startedAt);
  const hidden = all ? 0 : Math.max(0, items.length - FIRST_SHOWN);
  return (
    <section
      role="group"
      className="row tool agent"
      id={`agent-${facts.runId}`}
      data-testid="agent-card"
      data-agent={facts.name}
      data-state={run.state}
      aria-label={t("session:agents.one", { name: facts.name })}
    >
      <div className="agent-head">
        <button
          type="button"
          className="tool-head"
          aria-expanded={open}
          aria-controls={bodyId}
          onClick={() => setChosen(!open)}
        >
          <span className="tool-icon">
            <AgentIcon size={15} aria-hidden />
          </span>
          <span className="tool-verb">{facts.name}</span>
          <span className="agent-doing grow ellipsis" data-testid="agent-doing">
            {active ? doing(agent) : facts.task}
          </span>
          <span className={`tool-status agent-state ${run.state}`}>
            <Dot state={runWords(run).dot} /> <span>{runWords(run).label}</span>
          </span>
          <ChevronIcon size={15} aria-hidden className="turn" />
        </button>
        {active ? <StopAgent agent={agent} /> : null}
      </div>
      <div className="agent-facts">
        <span>{run.model}</span>
        <span>{t("session:agents.calls", { count: facts.steps })}</span>
        <span data-testid="agent-spent">{spent(agent)}</span>
        {took >= 1000 ? <span>{active ? elapsed(took) : duration(took)}</span> : null}
      </div>
      <Meter agent={agent} />
      {run.reason === "" ? null : (
        <p className={run.state === "failed" ? "tool-reason bad" : "tool-reason"}>
          <Sentence text={run.reason} />
        </p>
      )}
      <div id={bodyId} className="agent-body" hidden={!open}>
        {open ? (
          <>
            <p className="agent-task">{facts.task}</p>
            <p className="agent-cage">
              <CageIcon size={13} aria-hidden /> <span>{run.cage}</span>
            </p>
            {hidden > 0 ? (
              <Button small look="ghost" onClick={() => setAll(true)}>
                {t("session:agents.earlier", { count: hidden })}
              </Button>
            ) : null}
            {children(items.slice(hidden))}
          </>
        ) : null}
      </div>
    </section>
  );
}

/** How much of the budget is used. */
function Meter({ agent: { facts, usage } }: { agent: Transcript }): ReactNode {
  if (facts === null || facts.budget === 0) return null;
  const part = Math.min(1, (usage.input + usage.output) / facts.budget);
  return (
    <div className={part > 0.85 ? "agent-meter high" : "agent-meter"} aria-hidden>
      <span style={{ width: `${part * 100}%` }} />
    </div>
  );
}
