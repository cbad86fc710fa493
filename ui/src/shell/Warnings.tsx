import type { ReactNode } from "react";
import { AlertIcon } from "../design/icons.tsx";

const WORDS: Readonly<Record<string, string>> = {
  insecure: "Insecure mode: anyone who can reach this address is the operator. Do not expose it.",
  "no-sandbox": "The sandbox is off: agents run on this host without a cage.",
};

/** What the operator must not forget. Cannot be dismissed. */
export function Warnings({ warnings }: { warnings: string[] }): ReactNode {
  if (warnings.length === 0) return null;
  return (
    <div className="warnings" role="alert">
      {warnings.map((warning) => (
        <p key={warning}>
          <AlertIcon size={14} aria-hidden /> {WORDS[warning] ?? warning}
        </p>
      ))}
    </div>
  );
}
