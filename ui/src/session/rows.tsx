import type { ReactNode } from "react";
import { CopyButton } from "../design/CopyButton.tsx";
import { useNow } from "../design/hooks.ts";
import { ForwardIcon, RetryIcon, StoppedIcon, ThinkingIcon } from "../design/icons.tsx";
import { Notice } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import type { EndItem, NoticeItem, Run, TextItem, Usage, UserItem } from "../journal/model.ts";
import { duration, elapsed, time, tokens } from "../text/format.ts";
import { Markdown } from "../text/Markdown.tsx";
import { useStore } from "../state/store.ts";
import { me, person } from "../state/workspace.ts";
import { useSession } from "./context.ts";
import { Sentence } from "../design/Sentence.tsx";

export function UserRow({ item }: { item: UserItem }): ReactNode {
  const self = useStore(me);
  const other = self?.mode === "system" && item.actor !== self.id ? item.actor : null;
  const label = other === null ? "Your message" : `Message of ${other}`;
  return (
    <article className="row user" aria-label={label} data-testid="message-user">
      {other === null ? null : <div className="user-by ellipsis">{other}</div>}
      <div className="user-bubble">{item.text}</div>
      <div className="row-acts">
        <time dateTime={item.at}>{time(item.at)}</time>
        <CopyButton text={() => item.text} label="Copy the message" />
      </div>
    </article>
  );
}

export function TextRow({ item }: { item: TextItem }): ReactNode {
  return (
    <article
      className="row assistant"
      aria-label="Answer"
      aria-busy={item.streaming}
      data-testid="message-assistant"
      data-streaming={item.streaming}
    >
      <Markdown text={item.text} />
      {item.interrupted ? <p className="cut-off">The answer was cut off here.</p> : null}
      {item.streaming ? null : (
        <div className="row-acts">
          <time dateTime={item.endedAt}>{time(item.endedAt)}</time>
          <CopyButton text={() => item.text} label="Copy the answer" />
        </div>
      )}
    </article>
  );
}

export function ThinkingRow({ item }: { item: TextItem }): ReactNode {
  const took = Date.parse(item.endedAt) - Date.parse(item.at);
  const words = item.streaming ? "Thinking" : took > 900 ? `Thought for ${duration(took)}` : "Thought";
  return (
    <details className="row thinking" data-testid="thinking">
      <summary>
        <ThinkingIcon size={14} aria-hidden />
        <span className={item.streaming ? "shimmer" : ""}>{words}</span>
        <ForwardIcon size={13} aria-hidden className="turn" />
      </summary>
      <div className="thinking-text">{item.text}</div>
    </details>
  );
}

export function NoticeRow({ item }: { item: NoticeItem }): ReactNode {
  const { live } = useSession();
  const waiting = !item.settled && item.retryInS !== null;
  const now = useNow(waiting);
  const left = (item.retryInS ?? 0) * 1000 - (now - live.skewMs - Date.parse(item.at));
  const attempt = item.attempt > 0 ? `Attempt ${item.attempt} failed. ` : "";
  if (item.settled) {
    return (
      <div className="row aside" data-testid="notice">
        <RetryIcon size={14} aria-hidden />{" "}
        <span>
          <Sentence text={attempt + item.message} />
        </span>
      </div>
    );
  }
  return (
    <div className="row" data-testid="notice">
      <Notice tone={waiting ? "accent" : "bad"}>
        <Sentence text={item.message} />
        {waiting ? (
          <div className="muted">
            {attempt}
            {left > 1000 ? `Trying again in ${elapsed(left)}.` : "Trying again now."}
          </div>
        ) : null}
      </Notice>
    </div>
  );
}

function used(words: "limits:tokens" | "limits:own", { input, output }: Usage): string {
  return input + output === 0 ? "" : t(words, { input: tokens(input), output: tokens(output) });
}

export function EndRow({ item, run }: { item: EndItem; run: Run }): ReactNode {
  const took = Date.parse(item.at) - Date.parse(run.startedAt);
  const facts = [
    Number.isFinite(took) ? duration(took) : "",
    used("limits:tokens", run.whole),
    run.whole.input > run.usage.input ? used("limits:own", run.usage) : "",
  ].filter(Boolean);
  if (run.state === "failed") {
    return (
      <div className="row end" data-testid="run-end" data-outcome="failed">
        <Notice tone="bad">
          <Sentence text={run.reason || "The run failed."} /> <span className="muted">{facts.join(" · ")}</span>
        </Notice>
      </div>
    );
  }
  if (run.state === "cancelled") {
    return (
      <div className="row aside end" data-testid="run-end" data-outcome="cancelled">
        <StoppedIcon size={14} aria-hidden />
        <span>
          Stopped{run.actor === "" ? "" : ` by ${person(run.actor)}`} after {facts.join(" · ")}
          {run.stopped.length > 0 ? (
            <>
              . Ended: <Sentence text={run.stopped.join(", ")} />
            </>
          ) : null}
        </span>
      </div>
    );
  }
  return (
    <div className="row aside end" data-testid="run-end" data-outcome="success">
      <span>{facts.join(" · ")}</span>
    </div>
  );
}
