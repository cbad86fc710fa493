import type { ReactNode } from "react";
import { Logo } from "../design/Logo.tsx";

/** The first thing in an empty session. */
export function Welcome({ sample }: { sample: boolean }): ReactNode {
  return (
    <div className="welcome">
      <Logo size={30} />
      <h2>{sample ? "An agent at work, in a cage you can see" : "What should be done here?"}</h2>
      <p>
        {sample
          ? "This is a small project with a failing test. Everything the agent runs happens inside its cage: the line under the title says what that allows. Nothing needs a key yet."
          : "Say it in your own words. The agent reads, runs and edits inside its cage; each step appears here as it happens."}
      </p>
    </div>
  );
}
