import type { ReactNode } from "react";
import { Logo } from "../design/Logo.tsx";
import { useSession } from "./context.ts";

const SAMPLE = [
  "An agent at work, in a cage you can see",
  "This is a small project with a failing test. Everything the agent runs happens inside its cage: the line under the title says what that allows. Nothing needs a key yet.",
] as const;
const BEGIN = [
  "What should be done here?",
  "Say it in your own words. The agent reads, runs and edits inside its cage; each step appears here as it happens.",
] as const;
const LOOK_ON = ["Nothing was done here yet", "What the agent says and does will appear here as it happens."] as const;

/** The first thing in an empty session. */
export function Welcome({ sample }: { sample: boolean }): ReactNode {
  const { readOnly } = useSession();
  const [title, words] = sample ? SAMPLE : readOnly === null ? BEGIN : LOOK_ON;
  return (
    <div className="welcome">
      <Logo size={30} />
      <h2>{title}</h2>
      <p>{words}</p>
    </div>
  );
}
