/**
 * The questions about a tracker's members as a whole, beside those of `handle.ts`: lists, failures, errors. The base of
 * the handle; asked by the page, the API and the command line.
 */
import { withChanges, type TrackerOptions } from '../../workflows/tracker/options';
import { UnknownOperationError } from '../errors';
import type { Page } from '../page';
import { Unit, type UnitRow } from '../unit';
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

  /** All operations, or the one that is asked for. */
  private async operationsOf(operation: string | undefined): Promise<{ pools: number; operations: string[] }> {
    const row = await this.shown();
    const operations = Object.keys(withChanges(row.options, row.changes).operations);
    if (operation === undefined) return { pools: row.pools, operations };
    if (!operations.includes(operation)) throw new UnknownOperationError(this.name, operation, operations);
    return { pools: row.pools, operations: [operation] };
  }
}
