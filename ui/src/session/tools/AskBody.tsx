import type { FormEvent, ReactNode } from "react";
import { api } from "../../api/client.ts";
import { Button } from "../../design/Button.tsx";
import { t } from "../../i18n/index.ts";
import { str } from "../../journal/events.ts";
import type { ToolItem } from "../../journal/model.ts";
import { useKept } from "../../state/kept.ts";
import { person } from "../../state/workspace.ts";
import { useSession } from "../context.ts";
import { useWork } from "../work.tsx";
import { argsOf } from "./describe.tsx";

/** The agent's question: its options as buttons, free text always, the answer once it is given. */
export function AskBody({ item }: { item: ToolItem }): ReactNode {
  const { project, session, readOnly } = useSession();
  const [draft, setText] = useKept(`${session}.${item.callId}`);
  const text = draft ?? "";
  const [busy, work] = useWork();
  const { attention } = item;
  const question = attention?.question || str(argsOf(item), "question") || str(argsOf(item), "title");

  const answer = async (value: string): Promise<void> => {
    if (attention !== null && (await work(api.answer(project, session, attention.id, value)))) setText("");
  };
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (text.trim() !== "") void answer(text.trim());
  };

  return (
    <div className="ask" data-testid="ask" data-attention={attention?.id}>
      <p className="ask-question">{question}</p>
      {attention?.state === "open" && readOnly !== null ? <p className="muted">{readOnly}</p> : null}
      {attention?.state === "open" && readOnly === null ? (
        <>
          {attention.options.length === 0 ? null : (
            <div className="ask-options">
              {attention.options.map((option) => (
                <Button key={option} data-testid="ask-option" disabled={busy} onClick={() => void answer(option)}>
                  {option}
                </Button>
              ))}
            </div>
          )}
          <form className="ask-free" onSubmit={submit}>
            <input className="input" data-testid="ask-text" aria-label={t("tools:yourAnswer")}
              placeholder={attention.options.length === 0 ? t("tools:yourAnswer") : t("tools:ownWords")} value={text}
              onChange={(event) => setText(event.target.value)} />
            <Button type="submit" look="primary" busy={busy} disabled={text.trim() === ""} data-testid="ask-send">
              {t("tools:answer")}
            </Button>
          </form>
        </>
      ) : null}
      {attention?.state === "answered" ? (
        <p className="ask-answer">
          <span className="muted answered-by">{t("tools:answeredBy", { name: person(attention.actor) })}</span> {attention.answer}
        </p>
      ) : null}
      {attention?.state === "withdrawn" ? <p className="muted">{t("tools:withdrawn")}</p> : null}
    </div>
  );
}
