import type { ReactNode } from "react";
import { AlertIcon } from "../design/icons.tsx";
import { t } from "../i18n/index.ts";

const KNOWN = ["insecure", "no-sandbox"] as const;

function wordsOf(warning: string): string {
  const known = KNOWN.find((name) => name === warning);
  return known === undefined ? warning : t(`shell:warning.${known}`);
}

/** What the operator must not forget. Cannot be dismissed. */
export function Warnings({ warnings }: { warnings: string[] }): ReactNode {
  if (warnings.length === 0) return null;
  return (
    <div className="warnings" role="alert">
      {warnings.map((warning) => (
        <p key={warning}>
          <AlertIcon size={14} aria-hidden /> {wordsOf(warning)}
        </p>
      ))}
    </div>
  );
}
