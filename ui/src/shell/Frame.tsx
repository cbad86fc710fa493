import type { ReactNode } from "react";
import { Header, type HeaderProps } from "./Header.tsx";

interface FrameProps extends Pick<HeaderProps, "title" | "below"> {
  acts?: ReactNode;
  /** Stands between the top and what scrolls. */
  strip?: ReactNode;
  wide?: boolean;
  /** The part of the page that is shown: another one begins at its top. */
  part?: string;
  children: ReactNode;
  [data: `data-${string}`]: unknown;
}

/** A page: its top, and below it one column that scrolls. */
export function Frame({ title, below, acts, strip, wide, part, children, ...data }: FrameProps): ReactNode {
  return (
    <>
      <Header title={title} below={below}>{acts}</Header>
      {strip}
      <div className="page" tabIndex={0} key={part}>
        <div className={wide ? "page-column wide" : "page-column"} {...data}>{children}</div>
      </div>
    </>
  );
}
