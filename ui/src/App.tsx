import { type ReactNode, useCallback, useEffect, useState } from "react";
import { ApiError, type Gate, sentence, watchGate } from "./api/http.ts";
import { Toasts } from "./design/Toasts.tsx";
import { NoRights, SessionGone, SignedOut, Unreachable } from "./pages/Gates.tsx";
import { away, watchLine } from "./offline/away.ts";
import { forgetDevice } from "./offline/device.ts";
import { adopt, lastSeen } from "./offline/snapshot.ts";
import { watchVersion } from "./offline/version.ts";
import { startWorker } from "./offline/worker.ts";
import { refreshPush } from "./notifications/push.ts";
import { Shell } from "./shell/Shell.tsx";
import { reenter } from "./state/reenter.ts";
import { useStore } from "./state/store.ts";
import { me, refreshMe, startWorkspace, workspace } from "./state/workspace.ts";
import { socket } from "./ws/browser.ts";

const RETRY_MS = 2500;

/** Without an answer the page opens as it was last seen on this device, and says so. */
async function showLastSeen(): Promise<void> {
  const seen = await lastSeen();
  if (seen === null) return;
  workspace.set({ ...seen.space, loaded: true });
  away.set(seen.at);
  me.set(seen.me);
}

/** Finds out who is asking, and shows the console or the page that says why not. */
export function App(): ReactNode {
  const who = useStore(me);
  const [gate, setGate] = useState<Gate | null>(null);
  const [failure, setFailure] = useState<string | null>(null);

  const identify = useCallback(async (): Promise<void> => {
    try {
      await refreshMe();
      setFailure(null);
      const self = me.get();
      if (self !== null && (await adopt(self))) await forgetDevice();
    } catch (error) {
      const gated = error instanceof ApiError && error.status === 401;
      const silent = error instanceof ApiError && (error.status === 0 || error.status >= 500);
      if (silent && me.get() === null) await showLastSeen();
      setFailure(gated ? null : sentence(error));
    }
  }, []);

  useEffect(() => {
    // Behind a sidecar the way back in is the page itself; what was typed is kept on the way.
    watchGate((lost) => {
      if (lost === "signed-out" && me.get()?.source !== "sidecar") void forgetDevice();
      if (me.get()?.source !== "sidecar" || !reenter()) setGate(lost);
    });
    void identify();
  }, [identify]);

  useEffect(() => {
    if (failure === null) return undefined;
    const timer = setInterval(() => void identify(), RETRY_MS);
    return () => clearInterval(timer);
  }, [failure, identify]);

  const allowed = who !== null && (who.role === "admin" || Object.keys(who.projects).length > 0);
  const admitted = allowed && gate === null;
  useEffect(() => {
    if (!admitted) return undefined;
    watchLine();
    watchVersion();
    socket.start();
    startWorkspace();
    void startWorker().then(refreshPush).catch(() => {});
    return () => socket.stop();
  }, [admitted]);

  if (gate === "session-gone") return <SessionGone />;
  if (gate === "signed-out") return <SignedOut />;
  if (failure !== null && who === null) return <Unreachable message={failure} />;
  if (who === null) return null;
  if (!allowed) return <NoRights me={who} />;
  return (
    <>
      <Shell me={who} />
      <Toasts />
    </>
  );
}
