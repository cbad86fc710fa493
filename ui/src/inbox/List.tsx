import { type MouseEvent, type ReactNode, type RefObject, useRef, useState } from "react";
import type { Question } from "../api/types.ts";
import { isTyping, useKeys, useNow } from "../design/hooks.ts";
import { CheckIcon, DeniedIcon } from "../design/icons.tsx";
import { Empty, Kbd, Skeleton } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { approvalOf } from "../journal/approval.ts";
import { NotificationSettings } from "../notifications/NotificationSettings.tsx";
import { ApprovalCard } from "../session/ApprovalCard.tsx";
import { Frame } from "../shell/Frame.tsx";
import { lacks } from "../state/rights.ts";
import { linkTo, sessionPlace } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { findProject, findSession, person, workspace, type Workspace } from "../state/workspace.ts";
import { elapsed, when } from "../text/format.ts";
import { decided, type Decided } from "./decided.ts";
import "./inbox.css";
import { QuestionCard } from "./QuestionCard.tsx";

/** For so long after a change of the list a press may still be meant for what stood there before. */
const SETTLING_MS = 700;

/** What is open, the riskiest first, and in their places those that were decided while the reader looked on. */
function useShown(open: Question[]): { items: Question[]; changedAt: number } {
  const [held, setHeld] = useState({ open, items: open, changedAt: 0 });
  if (held.open === open) return held;
  const closed = held.items.filter(({ id }) => decided.get()[id] !== undefined);
  const items = [...open];
  for (const item of closed) items.splice(held.items.indexOf(item), 0, item);
  const same = items.length === held.items.length && items.every(({ id }, index) => held.items[index]?.id === id);
  const next = { open, items, changedAt: same ? held.changedAt : Date.now() };
  setHeld(next);
  return next;
}

/** All that waits for the reader, in every session, the riskiest first. */
export function Approvals(): ReactNode {
  const space = useStore(workspace);
  const { items, changedAt } = useShown(space.attention);
  const settled = useStore(decided);
  const list = useRef<HTMLOListElement>(null);
  useInboxKeys(list);
  const guard = (event: MouseEvent): void => {
    const moved = Date.now() - changedAt < SETTLING_MS && (event.target as Element).closest("button") !== null;
    if (moved) event.stopPropagation();
    if (moved) event.preventDefault();
  };
  const title = t("places:page.approvals");
  if (!space.loaded && items.length === 0) return <Frame title={title}><Skeleton lines={5} /></Frame>;
  const none = <Empty icon={<CheckIcon size={26} />} title={t("inbox:nothing")} words={t("inbox:nothing_words")} />;
  return (
    <Frame title={title}>
      {space.attention.length === 0 ? none : null}
      <ol className="waiting" data-testid="waiting" role="list" aria-label={t("inbox:title")} ref={list} onClickCapture={guard}>
        {items.map((item) => (
          <li key={item.id} tabIndex={-1} data-testid="inbox-item" data-id={item.id}>
            <Origin item={item} space={space} />
            <One item={item} how={settled[item.id]} space={space} />
          </li>
        ))}
      </ol>
      {space.attention.length === 0 ? null : <Keys />}
      <NotificationSettings />
    </Frame>
  );
}

function Origin({ item, space }: { item: Question; space: Workspace }): ReactNode {
  const now = useNow(true);
  const waits = now - Date.parse(item.created_at);
  return (
    <a className="waiting-of" data-testid="inbox-link" {...linkTo(sessionPlace(item.project, item.session, item.id))}>
      <strong>{findSession(space, item.project, item.session)?.title ?? t("inbox:session")}</strong>
      <span className="muted">
        {t("inbox:asked_by", { agent: item.agent === "" ? t("inbox:agent") : item.agent, project: item.project })} ·{" "}
        <time dateTime={item.created_at}>{when(item.created_at)}</time>
        {waits >= 60_000 ? ` · ${t("inbox:since", { time: elapsed(waits) })}` : ""}
      </span>
    </a>
  );
}

function One({ item, how, space }: { item: Question; how: Decided | undefined; space: Workspace }): ReactNode {
  const project = findProject(space, item.project);
  const lacking = lacks(project, "editor");
  const approval = approvalOf(item.approval);
  if (how !== undefined) return <Closed item={item} how={how} />;
  if (approval === null) return <QuestionCard item={item} lacking={lacking} noPolicy={lacks(project, "owner")} />;
  const cut = approval.more > 0 ? t("inbox:cut") : null;
  return (
    <ApprovalCard project={item.project} session={item.session} id={item.id} approval={approval} text={approval.subject}
      lacking={lacking ?? cut} />
  );
}

/** Who decided, at once and wherever they are. */
function Closed({ item, how }: { item: Question; how: Decided }): ReactNode {
  const denied = how.withdrawn || /^deny\b/.test(how.answer);
  const Icon = denied ? DeniedIcon : CheckIcon;
  const subject = approvalOf(item.approval)?.subject ?? item.network?.host ?? item.question;
  return (
    <div className="inbox-closed" data-testid="inbox-closed" data-denied={denied} role="status">
      <Icon size={15} />
      <span className="ellipsis"><code>{subject.split("\n", 1)[0]}</code></span>
      <span>{how.withdrawn ? t("inbox:withdrawn") : t("inbox:decided", { who: person(how.actor), answer: how.answer })}</span>
    </div>
  );
}

const KEYS = [["J K", "move"], ["A", "approve"], ["D", "deny"], ["1–9", "choose"], ["O", "open"]] as const;

function Keys(): ReactNode {
  return (
    <p className="inbox-keys" aria-hidden>
      {KEYS.map(([keys, does]) => (
        <span key={keys}>{keys.split(" ").map((key) => <Kbd key={key}>{key}</Kbd>)}{t(`inbox:keys.${does}`)}</span>
      ))}
    </p>
  );
}

/** Keys act on the item that has the focus and never move on by themselves: a second press decides nothing more. */
function useInboxKeys(list: RefObject<HTMLOListElement | null>): void {
  useKeys((event) => {
    if (list.current === null || isTyping(event) || event.metaKey || event.ctrlKey || event.altKey) return false;
    const rows = [...list.current.children].filter((row) => row instanceof HTMLElement);
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const key = event.key.toLowerCase();
    if (key === "j" || key === "k") {
      const next = rows[Math.max(0, Math.min(rows.length - 1, at === -1 ? 0 : at + (key === "j" ? 1 : -1)))];
      next?.focus();
      next?.scrollIntoView({ block: "nearest" });
      return next !== undefined;
    }
    if (!/^[ado1-9]$/.test(key) || at === -1) return false;
    if (event.repeat) return true;
    rows[at]?.querySelector<HTMLElement>(key === "o" ? "a" : `button[data-keys~="${key}"]`)?.click();
    return true;
  });
}
