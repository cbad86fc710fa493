import type { ReactNode } from "react";
import { Logo } from "../design/Logo.tsx";
import { t } from "../i18n/index.ts";
import { useSession } from "./context.ts";

/** The first thing in an empty session. */
export function Welcome({ sample }: { sample: boolean }): ReactNode {
  const { readOnly } = useSession();
  const kind = sample ? "sample" : readOnly === null ? "begin" : "lookOn";
  return (
    <div className="welcome">
      <Logo size={30} />
      <h2>{t(`session:welcome.${kind}`)}</h2>
      <p>{t(`session:welcomeWords.${kind}`)}</p>
    </div>
  );
}
