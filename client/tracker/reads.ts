/**
 * The questions about a tracker's members as a whole, beside those of `handle.ts`: lists, failures, errors. The base of
 * the handle; asked by the page, the API and the command line.
 */
import { withChanges, type TrackerOptions } from '../../workflows/tracker/options';
import { NotTrackedError, UnknownOperationError } from '../errors';
import type { Page, PageOptions } from '../page';
import { Unit, type UnitRow } from '../unit';
import { readFreshness, readOldest, type Freshness, type OldestMember } from './freshness';
import {
  listFailing,
  listMembers,
  reportErrors,
  type ErrorReport,
  type FailingFilter,
  type FailingMember,
  type MembersFilter,
  type MemberSummary,
} from './lists';
import { pageOfPools, type PoolSummary } from './members';
import { readNext, type NextRun } from './next';

export interface TrackerUnitRow extends UnitRow<TrackerOptions> {
  [column: string]: unknown;
  pools: number;
}

export abstract class TrackerReads extends Unit<TrackerOptions, TrackerUnitRow> {
  /** A page of members in the order of their ids' bytes, also of those that begin with a text. */
  async members(filter: MembersFilter = {}): Promise<Page<MemberSummary>> {
    const { pools } = await this.shown();
    return listMembers(this.connections, { name: this.name, pools }, filter);
  }

  /** A page of its pools by their numbers. @throws InvalidCursorError */
  async poolsPage(options: PageOptions = {}): Promise<Page<PoolSummary>> {
    await this.shown();
    return pageOfPools(this.connections, this.name, options);
  }

  /** A page of the operations of members that have failed since their last success. @throws UnknownOperationError */
  async failing({ operation, ...place }: FailingFilter = {}): Promise<Page<FailingMember>> {
    const { pools, operations } = await this.operationsOf(operation);
    return listFailing(this.connections, { name: this.name, pools }, operations, place);
  }

  /** The errors of failing members, grouped by what differs beside numbers and ids. @throws UnknownOperationError */
  async errors({ operation }: { operation?: string } = {}): Promise<ErrorReport> {
    const { operations } = await this.operationsOf(operation);
    return reportErrors(this.connections, this.name, operations);
  }

  /** How old values are, by pool and operation, as the pools' keepers told it last. */
  async freshness(): Promise<Freshness> {
    const row = await this.shown();
    const { operations } = withChanges(row.options, row.changes);
    const intervals = Object.entries(operations).map(([name, { everyMs, enabled }]) => ({ name, everyMs, enabled }));
    return readFreshness(this.connections, { name: this.name, pools: row.pools }, intervals);
  }

  /** The members whose last success is the longest past, of enabled operations. @throws UnknownOperationError */
  async oldest({ operation, limit }: { operation?: string; limit?: number } = {}): Promise<OldestMember[]> {
    const { pools, operations, enabled } = await this.operationsOf(operation);
    const looked = operation === undefined ? enabled : operations;
    return readOldest(this.connections, { name: this.name, pools }, looked, limit);
  }

  /** When each operation of a member runs next, and why not sooner. @throws NotTrackedError */
  async next(id: string): Promise<NextRun[]> {
    const { state, options, changes } = await this.shown();
    const found = await readNext(
      this.connections,
      { name: this.name, state, options: withChanges(options, changes) },
      id,
    );
    if (found instanceof NotTrackedError) throw found;
    return found;
  }

  /** All operations, or the one that is asked for. */
  private async operationsOf(
    operation: string | undefined,
  ): Promise<{ pools: number; operations: string[]; enabled: string[] }> {
    const row = await this.shown();
    const all = withChanges(row.options, row.changes).operations;
    const names = Object.keys(all);
    if (operation !== undefined && !names.includes(operation))
      throw new UnknownOperationError(this.name, operation, names);
    const operations = operation === undefined ? names : [operation];
    return { pools: row.pools, operations, enabled: operations.filter((name) => all[name]!.enabled) };
  }
}
