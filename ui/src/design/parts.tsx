import { type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes, useId } from "react";
import { t } from "../i18n/index.ts";
import { Button } from "./Button.tsx";
import { AlertIcon, CheckIcon, InfoIcon } from "./icons.tsx";
import { Sentence } from "./Sentence.tsx";

type BadgeTone = "accent" | "ok" | "bad" | null | undefined;

export function Badge({ tone, children }: { tone?: BadgeTone; children: ReactNode }): ReactNode {
  return <span className={tone ? `badge ${tone}` : "badge"}>{children}</span>;
}

export function Dot({ state, label }: { state: string; label?: string | undefined }): ReactNode {
  const named = label === undefined ? { "aria-hidden": true } : { role: "img", "aria-label": label, title: label };
  return <span className={`dot ${state}`} {...named} />;
}

export function Spinner(): ReactNode {
  return <span className="spinner" aria-hidden />;
}

export function Kbd({ children }: { children: ReactNode }): ReactNode {
  return <kbd className="kbd">{children}</kbd>;
}

interface NoticeProps {
  tone?: "plain" | "ok" | "bad" | "accent";
  /** The button that does something about it. */
  act?: ReactNode;
  children: ReactNode;
}

/** Something said in place: what happened and what to do. */
export function Notice({ tone = "plain", act, children }: NoticeProps): ReactNode {
  const Icon = tone === "ok" ? CheckIcon : tone === "plain" ? InfoIcon : AlertIcon;
  return (
    <div className={`notice ${tone}`} role={tone === "bad" ? "alert" : undefined}>
      <Icon size={16} />
      <div className="notice-body">{children}</div>
      {act}
    </div>
  );
}

interface ProblemProps {
  text: string | null;
  retry?: () => unknown;
  /** What trying again is called. */
  again?: string;
}

/** What went wrong, and the way to try again where there is one; nothing while all is well. */
export function Problem({ text, retry, again = t("design:retry") }: ProblemProps): ReactNode {
  const act = retry && <Button small onClick={() => void retry()}>{again}</Button>;
  return text === null ? null : <Notice tone="bad" act={act}><Sentence text={text} /></Notice>;
}

interface EmptyProps {
  icon: ReactNode;
  title: string;
  /** Why there is nothing, or what fills it. */
  words?: string;
  children?: ReactNode;
}

export function Empty({ icon, title, words, children }: EmptyProps): ReactNode {
  return (
    <div className="empty">
      {icon}
      <h2>{title}</h2>
      {words === undefined ? null : <p><Sentence text={words} /></p>}
      {children}
    </div>
  );
}

export function Skeleton({ lines = 3 }: { lines?: number }): ReactNode {
  return (
    <div className="skeletons" role="status" aria-label={t("design:loading")}>
      {Array.from({ length: lines }, (_, index) => (
        <div key={index} className="skeleton" style={{ width: `${92 - ((index * 23) % 45)}%` }} />
      ))}
    </div>
  );
}

interface FieldProps {
  label: string;
  hint?: ReactNode;
}

type Named = { id: string; "aria-describedby": string | undefined };

function Field({ label, hint, children }: FieldProps & { children: (named: Named) => ReactNode }): ReactNode {
  const id = useId();
  const about = hint === undefined ? undefined : `${id}-hint`;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({ id, "aria-describedby": about })}
      {hint === undefined ? null : <div className="field-hint" id={about}>{hint}</div>}
    </div>
  );
}

export function TextField({ label, hint, ...rest }: FieldProps & InputHTMLAttributes<HTMLInputElement>): ReactNode {
  return (
    <Field label={label} hint={hint}>
      {(named) => <input {...named} className="input" autoComplete="off" spellCheck={false} {...rest} />}
    </Field>
  );
}

export function SelectField({ label, hint, ...rest }: FieldProps & SelectHTMLAttributes<HTMLSelectElement>): ReactNode {
  return <Field label={label} hint={hint}>{(named) => <select {...named} className="select" {...rest} />}</Field>;
}

interface SelectProps<T extends string> {
  label: string;
  of: readonly T[];
  now: T;
  words?: (each: T) => string;
  onChoose: (next: T) => void;
  className?: string;
}

/** One of a list, in a line with other things; it has its name for screen readers only. */
export function Select<T extends string>({ label, of, now, words, onChoose, className = "" }: SelectProps<T>): ReactNode {
  return (
    <select className={`select ${className}`} aria-label={label} value={now}
      onChange={(event) => onChoose(of.find((each) => each === event.target.value) ?? now)}>
      {of.map((each) => <option key={each} value={each}>{words?.(each) ?? each}</option>)}
    </select>
  );
}
