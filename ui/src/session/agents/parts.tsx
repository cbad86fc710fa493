import type { ReactNode } from "react";
import { InterruptIcon } from "../../design/icons.tsx";
import { t } from "../../i18n/index.ts";
import { activity } from "../../journal/activity.ts";
import type { Transcript } from "../../journal/model.ts";
import { tokens } from "../../text/format.ts";
import { interrupt } from "../acts.ts";
import { useSession } from "../context.ts";
import { Act, useWork } from "../work.tsx";

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
  return facts === null || facts.budget === 0 ? t("session:agents.used", { used }) : t("session:agents.usedOf", { used, budget: tokens(facts.budget) });
}

/** Stops one sub-agent and those below it; the agent above goes on. */
export function StopAgent({ agent: { facts } }: { agent: Transcript }): ReactNode {
  const { project, session } = useSession();
  const [busy, stop] = useWork();
  if (facts === null) return null;
  return (
    <Act className="agent-stop" data-testid="agent-stop" busy={busy}
      title={t("session:agents.stopOnly", { name: facts.name })}
      aria-label={t("session:agents.stopName", { name: facts.name })}
      onClick={() => void stop(interrupt(project, session, facts.runId))}>
      {busy ? null : <InterruptIcon size={11} fill="currentColor" aria-hidden />} {t("session:agents.stop")}
    </Act>
  );
}
