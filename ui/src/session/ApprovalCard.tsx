import { type FormEvent, type ReactNode, useState } from "react";
import { Button } from "../design/Button.tsx";
import { DiffView } from "../design/DiffView.tsx";
import { useNow } from "../design/hooks.ts";
import { ApprovalIcon } from "../design/icons.tsx";
import { Sentence } from "../design/Sentence.tsx";
import { t } from "../i18n/index.ts";
import { type Approval, DENY, ONCE } from "../journal/approval.ts";
import { parseDiff } from "../text/diff.ts";
import { elapsed } from "../text/format.ts";
import { visible } from "../text/visible.ts";
import { answer } from "./acts.ts";

interface ApprovalCardProps {
  project: string; session: string; id: string; approval: Approval;
  /** The whole command or path. */
  text: string;
  /** Why the reader may not decide here. */
  lacking: string | null;
}

/** A call that must not run without a word of the reader; its form is the console's own, and no output has it. */
export function ApprovalCard({ project, session, id, approval, text, lacking }: ApprovalCardProps): ReactNode {
  const [busy, setBusy] = useState("");
  const [reason, setReason] = useState("");
  // A press that was meant for what stood here before decides nothing.
  const [shown] = useState(() => Date.now());
  const now = useNow(true);
  const left = Date.parse(approval.expiresAt) - now;
  const level = ["", t("session:approval.low"), t("session:approval.some"), t("session:approval.high")][approval.level] ?? "";
  const closed = busy !== "" || now - shown < 700 || lacking !== null;
  const say = (words: string): void => {
    setBusy(words);
    void answer(project, session, id, words).then((taken) => taken || setBusy(""));
  };
  const deny = (event: FormEvent): void => {
    event.preventDefault();
    if (!closed) say(reason.trim() === "" ? DENY : `${DENY}: ${reason.trim()}`);
  };
  return (
    <section role="group" className="approval" aria-label={t("session:approval.of", { tool: approval.tool })} data-testid="approval" data-attention={id} data-level={approval.level}>
      <div className="gate-head">
        <ApprovalIcon size={15} aria-hidden />
        <span className="grow">
          <code>{approval.tool}</code> {t("session:approval.waits")}
        </span>
        {level === "" ? null : <span className="approval-level">{level}</span>}
      </div>
      {approval.why === "" ? null : <p className="approval-why">{approval.why}</p>}
      <pre className="approval-text" tabIndex={0}>{visible(text)}</pre>
      {approval.more > 0 && text === approval.subject ? <p className="muted">{t("session:approval.more", { count: approval.more })}</p> : null}
      {approval.diff === "" ? null : parseDiff(approval.diff).map((file) => <DiffView key={file.path} file={file} />)}
      {approval.words.length === 0 ? null : (
        <ul className="approval-words">{approval.words.map((word) => <li key={word}>{word}</li>)}</ul>
      )}
      <form className="approval-acts" onSubmit={deny}>
        <Button data-testid="approve" data-keys="a" look="primary" busy={busy === ONCE} disabled={closed} title={lacking ?? undefined} onClick={() => say(ONCE)}>
          {t("session:approval.once")}
        </Button>
        <Button data-testid="deny" data-keys="d" type="submit" look="danger" busy={busy.startsWith(DENY)} disabled={closed} title={lacking ?? undefined}>
          {t("session:approval.deny")}
        </Button>
        <input className="input" data-testid="deny-why" aria-label={t("session:approval.why")}
          placeholder={t("session:approval.whyNot")} value={reason}
          onChange={(event) => setReason(event.target.value)} />
      </form>
      <p className="gate-foot">
        {lacking ?? (
          <>
            <Sentence text={t("session:approval.rule", { rule: approval.rule })} />
            {left > 0 ? ` ${t("session:approval.expires", { time: elapsed(left) })}` : ""}
          </>
        )}
      </p>
    </section>
  );
}
