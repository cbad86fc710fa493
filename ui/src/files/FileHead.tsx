import type { ReactNode } from "react";
import { IconButton } from "../design/Button.tsx";
import { ForwardIcon } from "../design/icons.tsx";
import { t } from "../i18n/index.ts";

/** The name of the file that is looked at, what can be done with it, and on a phone the way back to the list. */
export function FileHead({ path, onBack, children }: { path: string; onBack: () => void; children?: ReactNode }): ReactNode {
  return (
    <div className="file-head">
      <IconButton label={t("files:back")} className="only-phone" onClick={onBack}>
        <ForwardIcon size={17} className="turned" />
      </IconButton>
      <span className="file-name ellipsis" title={path}>{path}</span>
      {children}
    </div>
  );
}
