import type { ReactNode } from "react";
import { AlertIcon } from "../design/icons.tsx";
import { t } from "../i18n/index.ts";

const KNOWN = ["insecure", "no-sandbox"] as const;

const wordsOf = (warning: string): string =>
  KNOWN.some((name) => name === warning) ? t(`shell:warning.${warning as (typeof KNOWN)[number]}`) : warning;

/** What the operator must not forget. Cannot be dismissed. */
export function Warnings({ warnings }: { warnings: string[] }): ReactNode {
  if (warnings.length === 0) return null;
  return (
    <div className="warnings" role="alert">
      {warnings.map((warning) => <p key={warning}><AlertIcon size={14} /> {wordsOf(warning)}</p>)}
    </div>
  );
}
