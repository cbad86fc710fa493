import { type ComponentProps, type ReactNode, useState } from "react";
import { Button } from "../design/Button.tsx";
import { told } from "./acts.ts";
import { useSession } from "./context.ts";

/** Whether something is being done, and what does it: true when it is done; what goes wrong is told. */
export function useWork(): readonly [boolean, (work: Promise<unknown>) => Promise<boolean>] {
  const [busy, setBusy] = useState(false);
  const run = (work: Promise<unknown>): Promise<boolean> => {
    setBusy(true);
    return told(work).finally(() => setBusy(false));
  };
  return [busy, run];
}

/** A button for those who may write in the session; it tells the others why they may not. */
export function Act({ disabled, title, ...rest }: ComponentProps<typeof Button>): ReactNode {
  const { readOnly } = useSession();
  return <Button small {...rest} disabled={disabled === true || readOnly !== null} title={readOnly ?? title} />;
}
