import { type ReactNode, useEffect, useMemo, useRef } from "react";
import { api } from "../api/client.ts";
import { type Loaded, useLoaded } from "../design/loaded.ts";
import { Notice } from "../design/parts.tsx";
import { StateView } from "../design/StateView.tsx";
import { t } from "../i18n/index.ts";
import type { Frame as Event } from "../journal/events.ts";
import { Frame } from "../shell/Frame.tsx";
import { linkTo, sessionPlace } from "../state/router.ts";
import { duration, money, tokens } from "../text/format.ts";
import { type Span, type SpanKind, trace } from "./spans.ts";
import "./traces.css";

const AGAIN_MS = 2000;
const PAGE = 1000;
const KINDS: readonly SpanKind[] = ["model", "first", "tool", "wait", "retry"];

interface TraceProps {
  project: string;
  session: string;
  run: string;
}

/** One run as a waterfall: model calls, tools and waits, as long as they took. */
export default function TracePage({ project, session, run }: TraceProps): ReactNode {
  const held = useEvents(project, session);
  const { value: frames, retry } = held;
  const made = useMemo(() => (frames === null ? null : trace(frames, run, Date.now())), [frames, run]);
  const over = made?.over ?? false;
  useEffect(() => {
    if (frames === null || over) return undefined;
    const timer = setTimeout(() => void retry(), AGAIN_MS);
    return () => clearTimeout(timer);
  }, [frames, over, retry]);
  const sum = (of: (span: Span) => number): number => made?.spans.reduce((all, span) => all + of(span), 0) ?? 0;
  const amount = tokens(sum((span) => span.tokens));
  const facts = made && [duration(made.length), t("traces:tokens", { amount }), money(sum((span) => span.cost ?? 0))];
  return (
    <Frame wide title={t("traces:title")} below={facts && <span className="muted">{facts.join(" · ")}</span>}
      acts={<a className="button" {...linkTo(sessionPlace(project, session))}>{t("traces:back")}</a>}
      data-testid="trace" data-over={over}>
      <StateView of={held} lines={8}>
        {() =>
          made === null || made.spans.length === 0 ? <Notice>{t("traces:none")}</Notice> : (
            <div className="card waterfall">
              <div className="waterfall-legend" aria-hidden>
                {KINDS.map((kind) => <span key={kind}><i className={`span-${kind}`} /> {t(`traces:kind.${kind}`)}</span>)}
              </div>
              <div className="waterfall-scale" aria-hidden>
                {[0, 0.25, 0.5, 0.75, 1].map((share) => <span key={share}>{duration(made.length * share)}</span>)}
              </div>
              <ol role="list">
                {made.spans.map((span) => (
                  <Line key={span.id} span={span} length={made.length} href={{ project, session }} />
                ))}
              </ol>
            </div>
          )
        }
      </StateView>
    </Frame>
  );
}

function Line({ span, length, href }: { span: Span; length: number; href: { project: string; session: string } }): ReactNode {
  const end = span.end ?? length;
  const took = duration(end - span.start);
  const { href: path, onClick } = linkTo(sessionPlace(href.project, href.session));
  const facts = [took, span.tokens > 0 ? tokens(span.tokens) : "", span.cost ? money(span.cost) : ""].filter(Boolean).join(" · ");
  return (
    <li className="waterfall-line" data-kind={span.kind} data-failed={span.failed}>
      <a className="waterfall-name ellipsis" style={{ paddingInlineStart: `${span.depth * 14}px` }} href={`${path}?seq=${span.seq}`} onClick={onClick} title={span.name}>
        {span.kind === "wait" ? t(`traces:wait.${span.name}`, { defaultValue: span.name }) : span.name || t(`traces:kind.${span.kind}`)}
        <span className="hidden-text">{`, ${t(`traces:kind.${span.kind}`)}, ${facts}`}</span>
      </a>
      <span className="waterfall-lane" aria-hidden>
        <i
          className={`span-${span.kind}`}
          style={{ left: `${(span.start / length) * 100}%`, width: `max(2px, ${((end - span.start) / length) * 100}%)` }}
        />
      </span>
      <span className="waterfall-took" aria-hidden>{facts}</span>
    </li>
  );
}

/** All events of a session so far; asked again, those that came since. */
function useEvents(project: string, session: string): Loaded<Event[]> {
  const held = useRef<Event[]>([]);
  return useLoaded(async () => {
    const found = [...held.current];
    for (;;) {
      const { items } = await api.events(project, session, found.at(-1)?.seq ?? 0, PAGE);
      found.push(...items);
      if (items.length < PAGE) break;
    }
    held.current = found;
    return found;
  }, `${project} ${session}`);
}
