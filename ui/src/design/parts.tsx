import { type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes, useId } from "react";
import { t } from "../i18n/index.ts";
import { AlertIcon, CheckIcon, InfoIcon } from "./icons.tsx";

export function Badge({
  tone,
  children,
}: {
  tone?: "accent" | "ok" | "bad" | null | undefined;
  children: ReactNode;
}): ReactNode {
  return <span className={tone ? `badge ${tone}` : "badge"}>{children}</span>;
}

export function Dot({ state, label }: { state: string; label?: string }): ReactNode {
  return label === undefined ? (
    <span className={`dot ${state}`} aria-hidden />
  ) : (
    <span className={`dot ${state}`} role="img" aria-label={label} title={label} />
  );
}

export function Spinner(): ReactNode {
  return <span className="spinner" aria-hidden />;
}

export function Kbd({ children }: { children: ReactNode }): ReactNode {
  return <kbd className="kbd">{children}</kbd>;
}

type Tone = "plain" | "ok" | "bad" | "accent";

/** Something said in place: what happened and what to do. */
export function Notice({ tone = "plain", children }: { tone?: Tone; children: ReactNode }): ReactNode {
  const Icon = tone === "ok" ? CheckIcon : tone === "plain" ? InfoIcon : AlertIcon;
  return (
    <div className={`notice ${tone}`} role={tone === "bad" ? "alert" : undefined}>
      <Icon size={16} aria-hidden />
      <div className="notice-body">{children}</div>
    </div>
  );
}

interface EmptyProps {
  icon: ReactNode;
  title: string;
  children?: ReactNode;
}

export function Empty({ icon, title, children }: EmptyProps): ReactNode {
  return (
    <div className="empty">
      {icon}
      <h2>{title}</h2>
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

export function TextField({ label, hint, ...rest }: FieldProps & InputHTMLAttributes<HTMLInputElement>): ReactNode {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        className="input"
        autoComplete="off"
        spellCheck={false}
        aria-describedby={hint === undefined ? undefined : `${id}-hint`}
        {...rest}
      />
      {hint === undefined ? null : (
        <div className="field-hint" id={`${id}-hint`}>
          {hint}
        </div>
      )}
    </div>
  );
}

export function SelectField({
  label,
  hint,
  children,
  ...rest
}: FieldProps & SelectHTMLAttributes<HTMLSelectElement>): ReactNode {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select id={id} className="select" aria-describedby={hint === undefined ? undefined : `${id}-hint`} {...rest}>
        {children}
      </select>
      {hint === undefined ? null : <div className="field-hint" id={`${id}-hint`}>{hint}</div>}
    </div>
  );
}
