import type { ReactNode } from "react";

interface CardProps {
  title?: string;
  acts?: ReactNode;
  children: ReactNode;
}

/** Something that stands for itself: a title, what can be done with it, and the thing. */
export function Card({ title, acts, children }: CardProps): ReactNode {
  return (
    <section className="card padded" aria-label={title}>
      {title === undefined ? null : (
        <div className="card-head">
          <h3>{title}</h3>
          {acts}
        </div>
      )}
      {children}
    </section>
  );
}

interface ProgressProps {
  label: string;
  /** Of `max`; absent while nobody knows how far it is. */
  value?: number;
  max?: number;
}

export function Progress({ label, value, max = 1 }: ProgressProps): ReactNode {
  const share = value === undefined ? undefined : Math.min(1, Math.max(0, value / max));
  return (
    <div
      className="progress"
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={share === undefined ? undefined : Math.round(share * 100)}
    >
      <div style={share === undefined ? undefined : { width: `${share * 100}%` }} />
    </div>
  );
}
