import { type FormEvent, type ReactNode, useState } from "react";
import type { Question } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { NetworkIcon, QuestionIcon } from "../design/icons.tsx";
import { Kbd } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { answer } from "../session/acts.ts";
import { useKept } from "../state/kept.ts";
import { ALWAYS, optionWords } from "../text/gate.ts";
import { visible } from "../text/visible.ts";

const ALIAS: Readonly<Record<string, string>> = { "allow once": "a", deny: "d" };

interface QuestionCardProps {
  item: Question;
  /** Why the reader may not answer. */
  lacking: string | null;
  /** Why the reader may not change the project's policy by the answer. */
  noPolicy: string | null;
}

/** A question of an agent, or a connection that waits: its options as buttons, and words where they are taken. */
export function QuestionCard({ item, lacking, noPolicy }: QuestionCardProps): ReactNode {
  const [draft, setDraft] = useKept(`${item.session}.${item.call_id}`);
  const [sent, setSent] = useState("");
  // A press that was meant for what stood here before decides nothing.
  const [shown] = useState(() => Date.now());
  const { network, options } = item;
  const text = (draft ?? "").trim();
  const say = (words: string): void => {
    if (sent !== "" || Date.now() - shown < 700) return;
    setSent(words);
    void answer(item.project, item.session, item.id, words).then((taken) => (taken ? setDraft("") : setSent("")));
  };
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (text !== "" && lacking === null) say(text);
  };
  return (
    <section className="inbox-question" data-testid="question" data-kind={network === null ? item.kind : "network"}>
      <div className="gate-head">
        {network === null ? <QuestionIcon size={15} /> : <NetworkIcon size={15} />}
        <span className="grow">{t(`inbox:kind.${network === null ? item.kind : "network"}`)}</span>
      </div>
      {network === null ? <p className="inbox-words">{visible(item.question)}</p> : (
        <p className="gate-host">{visible(network.host)}<span className="muted">:{network.port}</span></p>
      )}
      <div className="inbox-options">
        {options.map((option, index) => {
          const why = lacking ?? (option === ALWAYS && network !== null ? noPolicy : null);
          return (
            <Button key={option} data-testid="question-option" data-keys={`${index + 1} ${ALIAS[option] ?? ""}`}
              look={option === "deny" ? "danger" : "plain"} busy={sent === option}
              disabled={(sent !== "" && sent !== option) || why !== null} title={why ?? undefined}
              onClick={() => say(option)}>
              <Kbd>{index + 1}</Kbd> {network === null ? option : optionWords(option)}
            </Button>
          );
        })}
      </div>
      {network === null ? (
        <form className="inbox-free" onSubmit={submit}>
          <input className="input" data-testid="question-text" aria-label={t("inbox:answer")}
            placeholder={t(options.length === 0 ? "inbox:answer" : "inbox:own_words")} value={draft ?? ""}
            onChange={(event) => setDraft(event.target.value)} />
          <Button type="submit" look="primary" data-testid="question-send" busy={sent !== "" && sent === text} disabled={text === "" || lacking !== null}>
            {t("inbox:send")}
          </Button>
        </form>
      ) : null}
      {lacking !== null || network !== null ? <p className="gate-foot">{lacking ?? t("inbox:unanswered")}</p> : null}
    </section>
  );
}
