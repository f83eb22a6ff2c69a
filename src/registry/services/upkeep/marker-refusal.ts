// Why a store is refused at the start, and what to do.

import type { Installation } from "../../metadata/installation.ts";
import type { Markers } from "./marker-names.ts";

export interface StoreWords {
  /** `the bucket registry`, `the folder data/blobs`. */
  readonly store: string;
  /** Ends the command that restores the metadata, so that it works on this installation: ` --data other`, ` --settings FILE`. */
  readonly flags: string;
}

/** Whoever reads it knows how the process was started; we do not know all of it. */
const accept = "start once as you did, with `--accept-store` added";

/** Undefined: the store is this installation's, or nobody's. */
export function refusal(
  installation: Installation,
  { counter, others }: Pick<Markers, "counter" | "others">,
  words: StoreWords,
): string | undefined {
  const { store, flags } = words;
  if (others.length > 0 && counter > 0) {
    return (
      `Two installations use ${store}: ${[installation.id, ...others].join(" and ")}. Each would take the other's bytes for rubbish. ` +
      `Give one of them a place of its own; where the other is gone for good, ${accept}.`
    );
  }
  if (others.length > 0 && installation.empty) {
    return (
      `The database is empty, and ${store} belongs to the installation ${others.join(" and ")}: its database is lost, or this is not its database. ` +
      `If it is lost, restore the newest snapshot with \`npx wharfinger restore-metadata${flags}\`. To begin anew beside its bytes, ` +
      `${accept}: configuration and versions come back from the record, images that were pushed do not.`
    );
  }
  if (others.length > 0) {
    return (
      `${upperFirst(store)} belongs to the installation ${others.join(" and ")}, and the database to ${installation.id}. ` +
      `Give this one its own store, or its own database. Where they are meant to go together from now on, ${accept}.`
    );
  }
  if (counter === 0 && installation.marked > 0) {
    return (
      `${upperFirst(store)} has no marker of this installation, ${installation.id}, which has put one into its store before: this is another store, or it was emptied. ` +
      `Correct the settings, or restore the store. Where its content is lost for good, ${accept}, then \`npx wharfinger audit --adopt\` names what is missing.`
    );
  }
  return undefined;
}

function upperFirst(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
