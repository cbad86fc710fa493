import type { ReactNode } from "react";

/** The mark: two bars and an opening, which together read as a k. */
export function Logo({ size = 20 }: { size?: number }): ReactNode {
  return (
    <svg width={size} height={size} viewBox="0 0 20 20" fill="none" aria-hidden>
      <path d="M4 2.5v15M8.2 2.5v15" stroke="var(--accent)" strokeWidth="2" strokeLinecap="round" />
      <path d="M16 4l-5.4 6 5.4 6" stroke="var(--accent)" strokeWidth="2" strokeLinecap="round"
        strokeLinejoin="round" />
    </svg>
  );
}
