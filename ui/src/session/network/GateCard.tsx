import { type ReactNode, useState } from "react";
import { Button } from "../../design/Button.tsx";
import { useNow } from "../../design/hooks.ts";
import { DeniedIcon, NetworkIcon } from "../../design/icons.tsx";
import { Sentence } from "../../design/Sentence.tsx";
import { t } from "../../i18n/index.ts";
import { DENY } from "../../journal/approval.ts";
import type { GateItem } from "../../journal/model.ts";
import { person } from "../../state/workspace.ts";
import { elapsed } from "../../text/format.ts";
import { ALWAYS, optionWords } from "../../text/gate.ts";
import { hostPort } from "../../text/hosts.ts";
import { answer } from "../acts.ts";
import { useSession } from "../context.ts";

/** The gate's question, in a form that no agent's question has: a program waits until somebody decides. */
export function GateCard({ item }: { item: GateItem }): ReactNode {
  const { project, session, live, readOnly, noPolicy } = useSession();
  const lacking = (option: string): string | null => readOnly ?? (option === ALWAYS ? noPolicy : null);
  const [sent, setSent] = useState("");
  // A press that was meant for what stood here before decides nothing.
  const [shown] = useState(() => Date.now());
  const { attention } = item;
  const now = useNow(attention.state === "open");
  if (attention.state !== "open") return <Decided item={item} />;
  const waits = now - live.skewMs - Date.parse(item.at);
  const say = (option: string): void => {
    setSent(option);
    void answer(project, session, attention.id, option).finally(() => setSent(""));
  };
  return (
    <section role="group" className="row gate-ask" aria-label={attention.question} data-testid="gate" data-attention={attention.id} data-state="open">
      <div className="gate-head">
        <NetworkIcon size={15} aria-hidden />
        <span className="grow">{t("session:gate.wants")}</span>
        {waits >= 1000 ? <span>{t("session:gate.waits", { time: elapsed(waits) })}</span> : null}
      </div>
      <p className="gate-host">
        {item.host}
        <span className="muted">:{item.port}</span>
      </p>
      <div className="gate-acts">
        {attention.options.map((option) => (
          <Button key={option} data-testid="gate-option" look={option === DENY ? "danger" : "plain"}
            busy={sent === option} disabled={sent !== "" || now - shown < 700 || lacking(option) !== null}
            title={lacking(option) ?? undefined} onClick={() => say(option)}>
            {optionWords(option)}
          </Button>
        ))}
      </div>
      <p className="gate-foot"><Sentence text={t("session:gate.foot")} /></p>
    </section>
  );
}

function Decided({ item }: { item: GateItem }): ReactNode {
  const { state, answer: said, actor } = item.attention;
  const denied = state === "withdrawn" || said === DENY;
  const Icon = denied ? DeniedIcon : NetworkIcon;
  return (
    <div className="row aside gate-decided" data-testid="gate" data-state={state} data-attention={item.attention.id} data-denied={denied}>
      <Icon size={14} aria-hidden />
      <span>
        <code>{hostPort(item.host, item.port)}</code>{" "}
        <span className="answered-by">
          {state === "withdrawn" ? t("session:gate.nobody") : t("session:gate.decided", { name: person(actor), what: optionWords(said).toLowerCase() })}
        </span>
      </span>
    </div>
  );
}
