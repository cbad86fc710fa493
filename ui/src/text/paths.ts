/** A text in which paths of the project stand without the project's own folder before them. */
export function withinProject(text: string, root: string): string {
  return root === "" ? text : text.replaceAll(`${root}/`, "");
}
