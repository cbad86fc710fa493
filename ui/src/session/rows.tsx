import type { ReactNode } from "react";
import { IconButton } from "../design/Button.tsx";
import { CopyButton } from "../design/CopyButton.tsx";
import { useNow } from "../design/hooks.ts";
import { ForwardIcon, HistoryIcon, RetryIcon, StoppedIcon, ThinkingIcon } from "../design/icons.tsx";
import { Notice } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import type { EndItem, NoticeItem, Run, TextItem, Usage, UserItem } from "../journal/model.ts";
import { duration, elapsed, money, time, tokens } from "../text/format.ts";
import { Markdown } from "../text/Markdown.tsx";
import { linkTo } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { me, person } from "../state/workspace.ts";
import { Attached } from "./Attached.tsx";
import { useSession } from "./context.ts";
import { panel } from "./panel.ts";
import { Sentence } from "../design/Sentence.tsx";

export function UserRow({ item, mark }: { item: UserItem; mark: string | undefined }): ReactNode {
  const self = useStore(me);
  const other = self?.mode === "system" && item.actor !== self.id ? item.actor : null;
  const label = other === null ? t("session:yourMessage") : t("session:messageOf", { name: other });
  return (
    <article className="row user" aria-label={label} data-testid="message-user">
      {other === null ? null : <div className="user-by ellipsis">{other}</div>}
      <Attached files={item.attachments} />
      <div className="user-bubble">{item.text}</div>
      <div className="row-acts">
        <time dateTime={item.at}>{time(item.at)}</time>
        <CopyButton text={() => item.text} label={t("session:copyMessage")} />
        {mark === undefined ? null : (
          <IconButton small label={t("session:backTo")} onClick={() => panel.set({ kind: "checkpoints", id: mark })}>
            <HistoryIcon size={14} />
          </IconButton>
        )}
      </div>
    </article>
  );
}

export function TextRow({ item }: { item: TextItem }): ReactNode {
  return (
    <article className="row assistant" aria-label={t("session:answer")} aria-busy={item.streaming}
      data-testid="message-assistant" data-streaming={item.streaming}>
      <Markdown text={item.text} streaming={item.streaming} />
      {item.interrupted ? <p className="cut-off">{t("session:cutOff")}</p> : null}
      {item.streaming ? null : (
        <div className="row-acts">
          <time dateTime={item.endedAt}>{time(item.endedAt)}</time>
          <CopyButton text={() => item.text} label={t("session:copyAnswer")} />
        </div>
      )}
    </article>
  );
}

export function ThinkingRow({ item }: { item: TextItem }): ReactNode {
  const took = Date.parse(item.endedAt) - Date.parse(item.at);
  const words = item.streaming ? t("words:thinking") : took > 900 ? t("session:thoughtFor", { time: duration(took) }) : t("session:thought");
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
  const attempt = item.attempt > 0 ? `${t("session:attempt", { count: item.attempt })} ` : "";
  if (item.settled) {
    return (
      <div className="row aside" data-testid="notice">
        <RetryIcon size={14} aria-hidden />{" "}
        <span><Sentence text={attempt + item.message} /></span>
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
            {left > 1000 ? t("session:againIn", { time: elapsed(left) }) : t("session:againNow")}
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
  const { project, session } = useSession();
  const took = Date.parse(item.at) - Date.parse(run.startedAt);
  const facts = [
    Number.isFinite(took) ? duration(took) : "",
    used("limits:tokens", run.whole),
    run.whole.input > run.usage.input ? used("limits:own", run.usage) : "",
    run.whole.cost > 0 ? money(run.whole.cost) : "",
  ].filter(Boolean);
  const trace = (
    <a className="end-trace" data-testid="trace-link" {...linkTo({ page: "trace", project, session, run: run.id })}>
      {t("traces:title")}
    </a>
  );
  if (run.state === "failed") {
    return (
      <div className="row end" data-testid="run-end" data-outcome="failed">
        <Notice tone="bad">
          <Sentence text={run.reason || t("session:runFailed")} /> <span className="muted">{facts.join(" · ")}</span> {trace}
        </Notice>
      </div>
    );
  }
  if (run.state === "cancelled") {
    return (
      <div className="row aside end" data-testid="run-end" data-outcome="cancelled">
        <StoppedIcon size={14} aria-hidden />
        <span>
          {run.actor === "" ? t("session:stoppedRun") : t("session:stoppedBy", { name: person(run.actor) })} · {facts.join(" · ")}
          {run.stopped.length > 0 ? (
            <>. {t("session:ended")} <Sentence text={run.stopped.join(", ")} /></>
          ) : null}{" "}
          {trace}
        </span>
      </div>
    );
  }
  return (
    <div className="row aside end" data-testid="run-end" data-outcome="success">
      <span>{facts.join(" · ")}</span>
      {trace}
    </div>
  );
}
