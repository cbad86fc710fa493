import { type ReactNode, useId, useState } from "react";
import { DiffCount } from "../../design/DiffView.tsx";
import { useNow } from "../../design/hooks.ts";
import { ChevronIcon, DeniedIcon } from "../../design/icons.tsx";
import { Spinner } from "../../design/parts.tsx";
import { t } from "../../i18n/index.ts";
import { str } from "../../journal/events.ts";
import type { ToolItem } from "../../journal/model.ts";
import { type FileDiff, parseDiff } from "../../text/diff.ts";
import { duration, elapsed } from "../../text/format.ts";
import { person } from "../../state/workspace.ts";
import { ApprovalCard } from "../ApprovalCard.tsx";
import { useSession } from "../context.ts";
import { NetworkLines } from "../network/NetworkLines.tsx";
import { AskBody } from "./AskBody.tsx";
import { ChangeBody, Facts, HitsBody, PlainBody, ReadBody, ShellBody } from "./bodies.tsx";
import { asks, describe } from "./describe.tsx";
import { Sentence } from "../../design/Sentence.tsx";

/** Kinds whose body is the point of them; the others open when asked. */
const OPEN_AT_FIRST = new Set(["shell", "file.edit", "file.write", "ask", "checkpoint"]);

export function ToolCard({ item }: { item: ToolItem }): ReactNode {
  const [chosen, setChosen] = useState<boolean | null>(null);
  const bodyId = useId();
  const what = describe(item, useSession().root);
  const diffs = typeof item.detail["diff"] === "string" ? parseDiff(item.detail["diff"]) : [];
  const open = chosen ?? (OPEN_AT_FIRST.has(item.tool) || ["failed", "denied", "waiting"].includes(item.state));
  const shown = item.state === "writing" || item.state === "ready" ? "pending" : item.state;
  const lines = what.object.split("\n");
  return (
    <section
      role="group"
      className="row tool"
      data-testid="tool-card"
      data-tool={item.tool}
      data-state={shown}
      aria-label={`${item.tool} ${lines[0] ?? ""}`}
    >
      <button
        type="button"
        className="tool-head"
        aria-expanded={open}
        aria-controls={bodyId}
        onClick={() => setChosen(!open)}
      >
        <span className="tool-icon">{shown === "denied" ? <DeniedIcon size={15} aria-hidden /> : what.icon}</span>
        {what.verb === "" ? null : <span className="tool-verb">{what.verb}</span>}
        <code className="tool-object grow">
          {asks(item) ? "" : lines[0]}
          {lines.length > 1 ? (
            <span className="muted"> {t("tools:plusLines", { count: lines.length - 1 })}</span>
          ) : null}
        </code>
        {diffs[0] === undefined ? null : <DiffCount file={diffs[0]} />}
        <Status item={item} />
        <ChevronIcon size={15} aria-hidden className="turn" />
      </button>
      <div id={bodyId} className="tool-body" hidden={!open}>
        {open ? <Body item={item} diffs={diffs} /> : null}
      </div>
      {item.network.length === 0 ? null : <NetworkLines network={item.network} />}
    </section>
  );
}

function Body({ item, diffs }: { item: ToolItem; diffs: FileDiff[] }): ReactNode {
  const { root, project, session, readOnly } = useSession();
  const { rest, object } = describe(item, root);
  const { attention } = item;
  const Kind = BODIES[item.tool] ?? PlainBody;
  if (attention?.approval && attention.state === "open") {
    const text = str(item.args, "command") || str(item.args, "path") || attention.approval.subject;
    const of = { project, session, id: attention.id, approval: attention.approval };
    return <ApprovalCard key={attention.id} {...of} text={text} lacking={readOnly} />;
  }
  return (
    <>
      {attention?.approval && attention.state === "answered" ? (
        <p className="tool-reason muted" data-testid="approved">
          <span className="answered-by">{t("tools:decidedBy", { name: person(attention.actor) })}</span>{" "}
          {attention.answer}
        </p>
      ) : null}
      <Facts rest={rest} long={asks(item) || !object.includes("\n") ? "" : object} />
      {item.argsError === "" ? null : <p className="tool-reason bad">{item.argsError}</p>}
      <Kind item={item} diffs={diffs} />
      {item.deniedReasons.length === 0 ? null : <Denied reasons={item.deniedReasons} />}
      {item.state === "unknown" && item.result === "" ? <p className="tool-reason">{t("tools:unknownEnd")}</p> : null}
    </>
  );
}

/** Whose rule it was: the cage says no in sentences, after what the program itself printed. */
function Denied({ reasons }: { reasons: readonly string[] }): ReactNode {
  return (
    <ul role="list" className="tool-denied" data-testid="denied">
      {reasons.map((reason) => (
        <li key={reason}>
          <DeniedIcon size={14} aria-hidden />{" "}
          <span>
            <Sentence text={reason} />
          </span>
        </li>
      ))}
    </ul>
  );
}

const BODIES: Readonly<Record<string, typeof ChangeBody>> = {
  shell: ShellBody,
  "file.edit": ChangeBody,
  "file.write": ChangeBody,
  "file.read": ReadBody,
  "search.grep": HitsBody,
  ask: AskBody,
  checkpoint: AskBody,
};

function Status({ item }: { item: ToolItem }): ReactNode {
  const { live } = useSession();
  const running = item.state === "running" || item.state === "writing";
  const now = useNow(running);
  const since = now - live.skewMs - Date.parse(item.startedAt);
  const took = item.durationMs === null || asks(item) ? "" : duration(item.durationMs);
  return running ? (
    <span className="tool-status running">
      <Spinner />
      <span className="hidden-text">{t("tools:state.running")}</span>
      {since >= 1000 ? elapsed(since) : ""}
    </span>
  ) : (
    <span className={`tool-status ${item.state}`}>
      <span>{stateWords(item)}</span>
      {took === "" ? null : <span className="tool-time">{took}</span>}
    </span>
  );
}

function stateWords(item: ToolItem): string {
  const { exit_code: exit, signal } = item.detail;
  if (item.state === "ready") return "";
  if (item.state === "ok") {
    if (item.tool === "shell" && typeof exit === "number") return t("tools:exit", { code: exit });
    return asks(item) ? t("tools:state.answered") : "";
  }
  if (item.state !== "failed") return t(`tools:state.${item.state}`);
  const reason = str(item.detail, "reason");
  if (reason === "walltime" || reason === "timeout") return t("tools:state.timedOut");
  if (reason === "memory") return t("tools:state.memory");
  if (typeof exit === "number" && exit !== 0) return t("tools:exit", { code: exit });
  return typeof signal === "number" && signal !== 0 ? t("tools:signal", { code: signal }) : t("tools:state.failed");
}
