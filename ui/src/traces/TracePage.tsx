import { type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { api } from "../api/client.ts";
import { sentence } from "../api/http.ts";
import { Button } from "../design/Button.tsx";
import { Notice, Skeleton } from "../design/parts.tsx";
import { Sentence } from "../design/Sentence.tsx";
import { t } from "../i18n/index.ts";
import type { Frame } from "../journal/events.ts";
import { Header } from "../shell/Header.tsx";
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
  onMenu: () => void;
}

/** One run as a waterfall: model calls, tools and waits, as long as they took. */
export default function TracePage({ project, session, run, onMenu }: TraceProps): ReactNode {
  const { frames, problem, again } = useEvents(project, session);
  const made = useMemo(() => (frames === null ? null : trace(frames, run, Date.now())), [frames, run]);
  const over = made?.over ?? false;
  useEffect(() => {
    if (frames === null || over) return undefined;
    const timer = setTimeout(again, AGAIN_MS);
    return () => clearTimeout(timer);
  }, [frames, over, again]);
  const spent = made?.spans.reduce((sum, span) => sum + span.tokens, 0) ?? 0;
  const cost = made?.spans.reduce((sum, span) => sum + (span.cost ?? 0), 0) ?? 0;
  return (
    <>
      <Header
        title={t("traces:title")}
        below={made === null ? null : <span className="muted">{[duration(made.length), t("traces:tokens", { amount: tokens(spent) }), money(cost)].join(" · ")}</span>}
        onMenu={onMenu}
      >
        <a className="button" {...linkTo(sessionPlace(project, session))}>
          {t("traces:back")}
        </a>
      </Header>
      <div className="page" tabIndex={0}>
        <div className="page-column wide" data-testid="trace" data-over={over}>
          {problem === null ? null : (
            <Notice tone="bad">
              <Sentence text={problem} /> <Button small onClick={again}>{t("common:retry")}</Button>
            </Notice>
          )}
          {made === null && problem === null ? <Skeleton lines={8} /> : null}
          {made?.spans.length === 0 ? <Notice>{t("traces:none")}</Notice> : null}
          {made === null || made.spans.length === 0 ? null : (
            <div className="card waterfall">
              <div className="waterfall-legend" aria-hidden>
                {KINDS.map((kind) => (
                  <span key={kind}>
                    <i className={`span-${kind}`} /> {t(`traces:kind.${kind}`)}
                  </span>
                ))}
              </div>
              <Scale length={made.length} />
              <ol role="list">
                {made.spans.map((span) => (
                  <Line key={span.id} span={span} length={made.length} href={{ project, session }} />
                ))}
              </ol>
            </div>
          )}
        </div>
      </div>
    </>
  );
}

function Scale({ length }: { length: number }): ReactNode {
  return (
    <div className="waterfall-scale" aria-hidden>
      {[0, 0.25, 0.5, 0.75, 1].map((share) => (
        <span key={share}>{duration(length * share)}</span>
      ))}
    </div>
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
      <span className="waterfall-took" aria-hidden>
        {facts}
      </span>
    </li>
  );
}

/** All events of a session so far; `again` asks for those that came since. */
function useEvents(project: string, session: string): { frames: Frame[] | null; problem: string | null; again: () => void } {
  const [frames, setFrames] = useState<Frame[] | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [turn, setTurn] = useState(0);
  const held = useRef<Frame[]>([]);
  const again = useCallback(() => setTurn((n) => n + 1), []);
  useEffect(() => {
    const leaving = new AbortController();
    const read = async (): Promise<void> => {
      const found = [...held.current];
      for (;;) {
        const page = await api.events(project, session, found.at(-1)?.seq ?? 0, PAGE, leaving.signal);
        found.push(...page.items);
        if (page.items.length < PAGE) break;
      }
      held.current = found;
      setFrames(found);
      setProblem(null);
    };
    read().catch((error: unknown) => {
      if (!leaving.signal.aborted) setProblem(sentence(error));
    });
    return () => leaving.abort();
  }, [project, session, turn]);
  return { frames, problem, again };
}
