import { type ReactNode, useEffect, useState } from "react";
import { api } from "../api/client.ts";
import type { FullLimit, QueueReport, Waiting as Message } from "../api/types.ts";
import { Button, IconButton } from "../design/Button.tsx";
import { CloseIcon, RenameIcon, SendIcon } from "../design/icons.tsx";
import { Badge, Notice } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { currentRun, isActive, type Transcript } from "../journal/model.ts";
import { fullWords } from "../pages/Queue.tsx";
import { toastError } from "../state/toasts.ts";
import { interrupt, resume } from "./acts.ts";
import { useSession } from "./context.ts";
import { Act, useWork } from "./work.tsx";

/** Messages that wait for their turn, and why; each can be edited, moved, steered and withdrawn until the agent has it. */
export function Waiting({ transcript }: { transcript: Transcript }): ReactNode {
  const { queue, queued } = transcript;
  const active = isActive(currentRun(transcript));
  if (queue.length === 0) return null;
  return (
    <section className="waiting" aria-label={t("session:waiting.list")} data-testid="waiting">
      <Why queued={queued} active={active} count={queue.length} />
      <ol role="list" className="waiting-list">
        {queue.map((message, at) => (
          <Row key={message.id} message={message} active={active} queue={queue} at={at} />
        ))}
      </ol>
    </section>
  );
}

function Why({ queued, active, count }: { queued: boolean; active: boolean; count: number }): ReactNode {
  const { project, session } = useSession();
  const [busy, work] = useWork();
  const [full, setFull] = useState<FullLimit | null>(null);
  useEffect(() => {
    if (!queued) return;
    const found = (report: QueueReport): void => setFull(report.items.find(({ id }) => id === session)?.reason ?? null);
    void api.queue().then(found, toastError);
  }, [queued, session]);
  if (active) return null;
  return (
    <Notice tone="accent">
      <div className="notice-line">
        <span className="grow">
          {queued ? t("limits:waits", { why: full === null ? t("limits:full.some") : fullWords(full) }) : t("session:waiting.count", { count })}
        </span>
        {queued ? (
          <Act look="ghost" title={t("session:waiting.stays")} onClick={() => void interrupt(project, session)}>
            {t("session:waiting.leave")}
          </Act>
        ) : null}
        <Act look="primary" busy={busy} data-testid="start-now" onClick={() => void work(resume(project, session))}>
          {t(queued ? "session:waiting.start" : "session:waiting.first")}
        </Act>
      </div>
    </Notice>
  );
}

interface RowProps {
  message: Message; active: boolean; queue: readonly Message[]; at: number;
}

function Row({ message, active, queue, at }: RowProps): ReactNode {
  const { project, session, readOnly } = useSession();
  const [text, setText] = useState<string | null>(null);
  const [busy, work] = useWork();
  const act = async (done: Promise<unknown>): Promise<void> => {
    if (await work(done)) setText(null);
  };
  const change = (body: Parameters<typeof api.editMessage>[3]): void =>
    void act(api.editMessage(project, session, message.id, body));
  const locked = busy || readOnly !== null;
  if (text !== null) {
    const save = (): void => void (text.trim() !== "" && change({ text: text.trim() }));
    return (
      <li className="waiting-row">
        <textarea
          className="grow"
          aria-label={t("session:waiting.one")}
          rows={Math.min(8, text.split("\n").length)}
          value={text}
          autoFocus
          onChange={(event) => setText(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Escape") setText(null);
            if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
            event.preventDefault();
            save();
          }}
        />
        <Button small look="primary" busy={busy} disabled={text.trim() === ""} onClick={save}>
          {t("session:save")}
        </Button>
        <Button small look="ghost" onClick={() => setText(null)}>
          {t("common:cancel")}
        </Button>
      </li>
    );
  }
  const steer = message.mode === "steer";
  return (
    <li className="waiting-row" data-testid="waiting-row">
      <Badge tone={steer ? "accent" : null}>
        {t(steer ? "session:waiting.next" : active ? "session:waiting.after" : "session:waiting.later")}
      </Badge>
      <span className="grow ellipsis" title={message.text}>
        {message.text}
      </span>
      {message.attachments?.length ? <span className="badge" title={message.attachments.join(", ")}>{t("session:attach.count", { count: message.attachments.length })}</span> : null}
      {active ? (
        <Button small look="ghost" disabled={locked} onClick={() => change({ mode: steer ? "queue" : "steer" })}>
          {steer ? t("session:waiting.sendAfter") : t("session:steer")}
        </Button>
      ) : null}
      {at > 0 ? (
        <IconButton label={t("session:waiting.up")} disabled={locked} onClick={() => change({ before: queue[at - 1]?.id ?? null })}>
          <SendIcon size={14} aria-hidden />
        </IconButton>
      ) : null}
      <IconButton label={t("session:edit")} disabled={locked} onClick={() => setText(message.text)}>
        <RenameIcon size={14} aria-hidden />
      </IconButton>
      <IconButton label={t("session:waiting.withdraw")} disabled={locked}
        onClick={() => void act(api.withdrawMessage(project, session, message.id))}>
        <CloseIcon size={15} aria-hidden />
      </IconButton>
    </li>
  );
}
