import { memo, type ReactNode, useEffect, useMemo, useRef } from "react";
import { Button } from "../design/Button.tsx";
import { useActs } from "../palette/acts.ts";
import { JumpIcon } from "../design/icons.tsx";
import { Skeleton } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { agentOf, asks, type Item, type Run, type ToolItem, type Transcript } from "../journal/model.ts";
import { AgentCard } from "./agents/AgentCard.tsx";
import { RestoredRow, RolledBack } from "./checkpoints/rows.tsx";
import { GateCard } from "./network/GateCard.tsx";
import { NetworkLines } from "./network/NetworkLines.tsx";
import { type Named, useDeepLink, useFocusKeeper } from "./place.ts";
import { EndRow, NoticeRow, TextRow, ThinkingRow, UserRow } from "./rows.tsx";
import { ToolCard } from "./tools/ToolCard.tsx";
import { useStick } from "./useStick.ts";
import { useWindow } from "./useWindow.ts";
import { Welcome } from "./Welcome.tsx";

interface TranscriptViewProps {
  transcript: Transcript; ready: boolean;
  /** What the address names in it. */
  named: Named;
  sample: boolean;
}

export function TranscriptView({ transcript, ready, named, sample }: TranscriptViewProps): ReactNode {
  const { scroller, content, away, jump, stay } = useStick();
  const { start, top, reveal } = useWindow(transcript.items.length, ready, away, scroller);
  useDeepLink(transcript, ready, named, reveal, stay);
  useFocusKeeper(content, slotAround);
  const marks = useMemo(() => marksByRow(transcript.marks, transcript.items), [transcript.marks, transcript.items]);
  const asked = transcript.items.filter((item) => item.kind === "user").length;
  // A message of one's own is always worth seeing.
  const before = useRef(Number.POSITIVE_INFINITY);
  useEffect(() => {
    if (asked > before.current) jump();
    before.current = ready ? asked : Number.POSITIVE_INFINITY;
  }, [asked, ready, jump]);
  useActs({ latest: jump });
  return (
    <div className="transcript-frame">
      {/* Keyboards scroll what has the focus. */}
      <div className="transcript" ref={scroller} tabIndex={0} role="region" aria-label={t("session:transcript")}>
        <div className="column" ref={content}>
          {ready ? null : <Skeleton lines={7} />}
          {ready && transcript.items.length === 0 ? <Welcome sample={sample} /> : null}
          <div ref={top} />
          {/* History comes in many pieces: drawn once it is whole, not again with each of them. */}
          {ready
            ? stretches(transcript, start).flatMap(({ away, items }) => {
                const rows = items.map((item) => (
                  <Row key={item.key} item={item} of={transcript} agents={transcript.agents} mark={marks.get(item.key)} />
                ));
                return away ? [<RolledBack key={`away:${items[0]?.key}`}>{rows}</RolledBack>] : rows;
              })
            : null}
        </div>
      </div>
      {away ? (
        <Button small className="jump" onClick={jump}>
          <JumpIcon size={14} aria-hidden /> {t("session:jump")}
        </Button>
      ) : null}
    </div>
  );
}

/** The rows from `start` on, rolled back ones gathered. */
function stretches({ items, away }: Transcript, start: number): { away: boolean; items: Item[] }[] {
  const out: { away: boolean; items: Item[] }[] = [];
  for (const item of items.slice(start)) {
    const gone = away.has(item.key);
    const last = out.at(-1);
    if (last?.away === gone) last.items.push(item);
    else out.push({ away: gone, items: [item] });
  }
  return out;
}

/** The checkpoint to go back to for undoing a message, by the message's row. */
function marksByRow(marks: Transcript["marks"], items: readonly Item[]): Map<string, string> {
  const rows = Object.entries(marks).filter(([, mark]) => mark.auto === "run" && items[mark.index]?.kind === "user");
  return new Map(rows.map(([id, mark]) => [items[mark.index]?.key ?? "", id]));
}

/** The row around what has the focus, made ready to take it over. */
function slotAround(inside: HTMLElement): HTMLElement | null {
  const slot = inside.closest<HTMLElement>("[data-key]");
  if (slot !== null) slot.tabIndex = -1;
  return slot;
}

interface RowProps {
  item: Item;
  /** The transcript that the row is part of. */
  of: Transcript;
  /** All sub-agents of the session. */
  agents: Transcript["agents"];
  /** The checkpoint just before it. */
  mark?: string | undefined;
}

function runOf({ item, of }: RowProps): Run | undefined {
  return "runId" in item ? of.runs[item.runId] : undefined;
}

function isDelegation(item: Item): item is ToolItem {
  return item.kind === "tool" && item.tool === "delegate";
}

const Row = memo(
  function Row(props: RowProps): ReactNode {
    return (
      <div className={`slot ${props.item.kind}`} data-key={props.item.key}>
        <Inner {...props} />
      </div>
    );
  },
  // Only the last row of a run shows the run itself, and only a delegation the sub-agents.
  (before, after) =>
    before.item === after.item &&
    before.mark === after.mark &&
    (after.item.kind !== "end" || runOf(before) === runOf(after)) &&
    (!isDelegation(after.item) || before.agents === after.agents),
);

function Inner(props: RowProps): ReactNode {
  const { item, agents } = props;
  const run = runOf(props);
  const agent = isDelegation(item) ? agentOf(agents, item.callId) : undefined;
  if (agent !== undefined) {
    return (
      <AgentCard agent={agent} asking={asks(agents, agent)}>
        {(items) => items.map((row) => <Row key={row.key} item={row} of={agent} agents={agents} />)}
      </AgentCard>
    );
  }
  if (item.kind === "user") return <UserRow item={item} mark={props.mark} />;
  if ("streaming" in item) return item.kind === "text" ? <TextRow item={item} /> : <ThinkingRow item={item} />;
  if (item.kind === "tool") return <ToolCard item={item} />;
  if (item.kind === "notice") return <NoticeRow item={item} />;
  if (item.kind === "gate") return <GateCard item={item} />;
  if (item.kind === "restored") return <RestoredRow item={item} />;
  if (item.kind === "network") return <NetworkLines network={item.network} row />;
  return run === undefined ? null : <EndRow item={item} run={run} />;
}
