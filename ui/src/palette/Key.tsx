import "./palette.css";
import { Fragment, type ReactNode } from "react";
import { Kbd } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { capsOf } from "./keys.ts";

/** A key of the table as caps: `G then H`, `Ctrl K`. */
export function Key({ of }: { of: string }): ReactNode {
  return (
    <span className="key-caps">
      {capsOf(of).map((caps, index) => (
        <Fragment key={index}>
          {index > 0 ? <span className="muted">{t("palette:then")}</span> : null}
          {caps.map((cap) => <Kbd key={cap}>{cap}</Kbd>)}
        </Fragment>
      ))}
    </span>
  );
}
