import { type ReactNode, useState } from "react";
import { Button } from "../../design/Button.tsx";
import { InterruptIcon } from "../../design/icons.tsx";
import { activity } from "../../journal/activity.ts";
import type { Transcript } from "../../journal/model.ts";
import { tokens } from "../../text/format.ts";
import { interrupt } from "../acts.ts";
import { useSession } from "../context.ts";

/** What a sub-agent does now, in words. */
export function doing(agent: Transcript): ReactNode {
  const now = activity(agent);
  if (now === null) return null;
  return (
    <>
      {now.verb} {now.object === "" ? null : <code>{now.object}</code>}
    </>
  );
}

/** Tokens used, of the budget. */
export function spent({ facts, usage }: Transcript): string {
  const used = tokens(usage.input + usage.output);
  return facts === null || facts.budget === 0 ? `${used} tokens` : `${used} of ${tokens(facts.budget)} tokens`;
}

/** Stops one sub-agent and those below it; the agent above goes on. */
export function StopAgent({ agent: { facts } }: { agent: Transcript }): ReactNode {
  const { project, session, readOnly } = useSession();
  const [busy, setBusy] = useState(false);
  if (facts === null) return null;
  const stop = (): void => {
    setBusy(true);
    void interrupt(project, session, facts.runId).finally(() => setBusy(false));
  };
  return (
    <Button
      small
      className="agent-stop"
      data-testid="agent-stop"
      busy={busy}
      disabled={readOnly !== null}
      title={readOnly ?? `Stop ${facts.name} only`}
      aria-label={`Stop ${facts.name}`}
      onClick={stop}
    >
      {busy ? null : <InterruptIcon size={11} fill="currentColor" aria-hidden />} Stop
    </Button>
  );
}
