-- Up Migration

-- The run of a workflow that may write. Another run of the same workflow (a reset, a restart, continue-as-new) takes
-- the row over when Temporal says that it is the current one, and raises the token: what the older still has under way is refused.
create table longwatch.task_run (
  workflow_id text primary key,
  run_id text not null,
  token bigint not null default 1,
  state text not null default 'active' check (state in ('active', 'ended')),
  seen_at timestamptz not null default now()
) with (fillfactor = 80);

-- One execution of a durable activity: who may run it now, how often it was tried, what came of it.
create table longwatch.task (
  -- Run id and activity id of Temporal, `run/activity`.
  task text primary key,
  activity text not null,
  kind text not null default 'activity' check (kind in ('activity', 'compensation')),
  workflow_id text not null,
  run_id text not null,
  state text not null check (state in ('leased', 'waiting', 'completed', 'failed', 'discarded', 'resolved')),
  owner text,
  -- How often it was taken: it only grows, so a write can be compared with it. Attempts used = attempt - unused.
  attempt integer not null default 0,
  -- Times it was taken and handed back without the attempt being used.
  unused integer not null default 0,
  lease_expires_at timestamptz,
  -- Only one execution at a time holds a resource.
  resource text,
  key_hash bytea,
  -- json, not jsonb: what a user's activity returns may have what jsonb refuses (\u0000).
  result json,
  error json,
  -- When the next attempt is due, by the database's clock.
  retry_at timestamptz,
  -- Of a compensation: the saga's workflow, the task whose effect it takes back, and what it needs to be run again.
  saga text,
  target text,
  task_queue text,
  input json,
  note text,
  created_at timestamptz not null default now(),
  changed_at timestamptz not null default now(),
  -- When the row may be deleted; null: not while it matters.
  expires_at timestamptz
) with (fillfactor = 60);
create index task_expiry on longwatch.task (expires_at) where expires_at is not null;
create index task_open on longwatch.task (state) where state in ('leased', 'waiting');
create index task_resource on longwatch.task (resource) where resource is not null;
create index task_broken on longwatch.task (changed_at) where kind = 'compensation' and state = 'failed';

-- A key and the task that has it: reserved while the task is open, done when it has completed, failed when its failure is kept.
create table longwatch.idempotency (
  activity text not null,
  -- SHA-256 of the key, which may be long.
  key_hash bytea not null,
  key text not null,
  task text not null,
  -- Somebody waits: the end is announced.
  waited boolean not null default false,
  created_at timestamptz not null default now(),
  primary key (activity, key_hash)
) with (fillfactor = 80);

-- Why a write may not be made, or null when it may. The words are those of activities/durable/outcomes.ts.
create function longwatch.fence_reason(
  t longwatch.task, r longwatch.task_run, p_owner text, p_attempt integer, p_run text, p_token bigint
) returns text language plpgsql volatile as $$
begin
  return case
    when t.task is null then 'not_found'
    when t.run_id <> p_run then 'run_mismatch'
    when t.state <> 'leased' then 'not_leased'
    when t.owner is distinct from p_owner then 'owner_mismatch'
    when t.attempt <> p_attempt then 'attempt_mismatch'
    when r.workflow_id is null then 'run_not_found'
    when r.state <> 'active' then 'run_not_active'
    when r.token <> p_token then 'run_token_rotated'
    when t.lease_expires_at is null then 'lease_missing_expiry'
    when t.lease_expires_at <= clock_timestamp() then 'lease_expired'
  end;
end $$;

-- Looks for a stored result, and else takes the lease and counts the attempt: one statement of the worker. Locks, here
-- and in settle_task, in the order run, key, task.
create function longwatch.take_task(
  p_task text, p_activity text, p_kind text, p_workflow text, p_run text, p_ended_run text, p_owner text,
  p_ttl_ms double precision, p_attempts integer, p_resource text, p_key text, p_key_hash bytea, p_keep_failure boolean,
  p_retention_ms double precision, p_details json,
  out outcome text, out source text, out o_attempt integer, out o_used integer, out o_token double precision,
  out o_owner text, out wait_ms double precision, out o_result json, out o_error json, out o_run text
) language plpgsql as $$
#variable_conflict use_column
declare
  r longwatch.task_run%rowtype;
  t longwatch.task%rowtype;
  h longwatch.task%rowtype;
  k longwatch.idempotency%rowtype;
  v_used integer := 0;
  v_ttl interval := p_ttl_ms * interval '1 millisecond';
  v_retention interval := p_retention_ms * interval '1 millisecond';
  -- Far beyond any time-out and wait: what nobody came back for.
  v_abandoned constant interval := interval '90 days';
begin
  -- 1. What is known already, without a lock.
  if p_key_hash is not null then
    select o.* into h from longwatch.idempotency i join longwatch.task o on o.task = i.task
    where i.activity = p_activity and i.key_hash = p_key_hash;
    if h.state in ('completed', 'resolved', 'failed') and (h.expires_at is null or h.expires_at > now()) then
      outcome := case when h.state = 'failed' then 'failed' else 'done' end;
      source := h.task; o_result := h.result; o_error := h.error;
      return;
    end if;
  end if;
  select * into t from longwatch.task where task = p_task;
  if t.state in ('completed', 'resolved', 'failed', 'discarded') then
    outcome := case t.state when 'failed' then 'failed' when 'discarded' then 'discarded' else 'done' end;
    source := t.task; o_result := t.result; o_error := t.error;
    return;
  end if;

  -- 2. The run: ours, or one that Temporal says is over.
  if p_ended_run <> p_run then
    update longwatch.task_run set run_id = p_run, token = token + 1, state = 'active', seen_at = now()
    where workflow_id = p_workflow and run_id = p_ended_run;
  end if;
  loop
    select * into r from longwatch.task_run where workflow_id = p_workflow for share;
    exit when found;
    insert into longwatch.task_run (workflow_id, run_id) values (p_workflow, p_run) on conflict do nothing;
  end loop;
  if r.run_id is distinct from p_run then
    outcome := 'run_mismatch'; o_run := r.run_id;
    return;
  elsif r.state <> 'active' then
    outcome := 'run_not_active';
    return;
  end if;

  -- 3. The key: free, ours, held by another, or left by one that is gone.
  if p_key_hash is not null then
    loop
      insert into longwatch.idempotency (activity, key_hash, key, task) values (p_activity, p_key_hash, p_key, p_task)
      on conflict do nothing returning * into k;
      exit when found;
      select * into k from longwatch.idempotency where activity = p_activity and key_hash = p_key_hash for update;
      exit when found;
    end loop;
    if k.task <> p_task then
      select * into h from longwatch.task where task = k.task for update;
      if h.state in ('completed', 'resolved', 'failed') and (h.expires_at is null or h.expires_at > now()) then
        outcome := case when h.state = 'failed' then 'failed' else 'done' end;
        source := h.task; o_result := h.result; o_error := h.error;
        return;
      end if;
      if (h.state = 'leased' and h.lease_expires_at > clock_timestamp())
         -- Between two attempts; when it does not come back, another may have the key.
         or (h.state = 'waiting' and coalesce(h.retry_at, h.changed_at) + v_ttl > clock_timestamp()) then
        update longwatch.idempotency set waited = true
        where activity = p_activity and key_hash = p_key_hash and not waited;
        outcome := 'key_held'; o_owner := h.owner; source := h.task;
        wait_ms := greatest(0, extract(epoch from coalesce(h.lease_expires_at, h.retry_at + v_ttl, h.changed_at + v_ttl) - clock_timestamp()) * 1000);
        return;
      end if;
      -- Its attempts are ours: who takes over a key must not run a crashing effect forever.
      if h.state in ('leased', 'waiting') then
        v_used := h.attempt - h.unused;
        update longwatch.task set state = 'waiting', owner = null, lease_expires_at = null, changed_at = now(),
          expires_at = now() + v_retention
        where task = h.task;
      end if;
      update longwatch.idempotency set task = p_task where activity = p_activity and key_hash = p_key_hash;
    end if;
  end if;

  -- 4. The task, which nobody else may hold, nor its resource. As a rule it is new: then this is all.
  if t.task is null and p_resource is null and v_used = 0 then
    insert into longwatch.task (task, activity, kind, workflow_id, run_id, state, owner, attempt, lease_expires_at, key_hash,
                                saga, target, task_queue, input, expires_at)
    values (p_task, p_activity, p_kind, p_workflow, p_run, 'leased', p_owner, 1, clock_timestamp() + v_ttl, p_key_hash,
            p_details->>'saga', p_details->>'target', p_details->>'taskQueue', p_details->'input', now() + v_abandoned)
    on conflict do nothing;
    if found then
      outcome := 'run'; source := p_task; o_attempt := 1; o_used := 1; o_token := r.token;
      return;
    end if;
  end if;
  loop
    select * into t from longwatch.task where task = p_task for update;
    exit when found;
    insert into longwatch.task (task, activity, kind, workflow_id, run_id, state, resource, key_hash, saga, target, task_queue, input)
    values (p_task, p_activity, p_kind, p_workflow, p_run, 'waiting', p_resource, p_key_hash,
            p_details->>'saga', p_details->>'target', p_details->>'taskQueue', p_details->'input')
    on conflict do nothing;
  end loop;
  if t.state in ('completed', 'resolved', 'failed', 'discarded') then
    outcome := case t.state when 'failed' then 'failed' when 'discarded' then 'discarded' else 'done' end;
    source := t.task; o_result := t.result; o_error := t.error;
    return;
  elsif t.state = 'leased' and t.lease_expires_at > clock_timestamp() then
    outcome := 'held'; o_owner := t.owner;
    wait_ms := extract(epoch from t.lease_expires_at - clock_timestamp()) * 1000;
    return;
  end if;
  if p_resource is not null then
    perform pg_advisory_xact_lock(hashtextextended(p_resource, 7270));
    select * into h from longwatch.task
    where resource = p_resource and task <> p_task and state = 'leased' and lease_expires_at > clock_timestamp() limit 1;
    if found then
      outcome := 'resource_held'; o_owner := h.owner;
      wait_ms := extract(epoch from h.lease_expires_at - clock_timestamp()) * 1000;
      return;
    end if;
  end if;

  -- 5. The attempt. A lease that ran out is a crash, which has used one.
  v_used := v_used + t.attempt - t.unused;
  if t.state = 'leased' then
    t.error := json_build_object('type', 'WorkerLost', 'message',
      format('%s died or lost its lease during attempt %s', t.owner, v_used));
  end if;
  if v_used >= p_attempts then
    o_error := coalesce(t.error, json_build_object('type', 'WorkerLost', 'message', 'the worker that had it is gone'));
    update longwatch.task set state = 'failed', owner = null, lease_expires_at = null, error = o_error, changed_at = now(),
      attempt = t.unused + v_used,
      -- A compensation that failed stays until somebody has mended it.
      expires_at = case when t.kind = 'compensation' then null else now() + v_retention end
    where task = p_task;
    if not p_keep_failure then
      delete from longwatch.idempotency where activity = p_activity and key_hash = p_key_hash and task = p_task;
    end if;
    if k.waited then perform pg_notify('longwatch_key', encode(p_key_hash, 'hex')); end if;
    outcome := 'exhausted'; source := p_task; o_used := v_used;
    return;
  end if;
  o_attempt := t.unused + v_used + 1;
  update longwatch.task set state = 'leased', owner = p_owner, attempt = o_attempt, lease_expires_at = clock_timestamp() + v_ttl,
    error = t.error, retry_at = null, changed_at = now(),
    expires_at = now() + v_abandoned
  where task = p_task;
  outcome := 'run'; source := p_task; o_used := v_used + 1; o_token := r.token; o_error := t.error;
end $$;

-- The end of an attempt, by compare-and-set: in the transaction of the effect, where it has one. Not strict: only the claim
-- itself is compared (state, owner, attempt), to give up what the fence has refused.
create function longwatch.settle_task(
  p_task text, p_activity text, p_workflow text, p_run text, p_owner text, p_attempt integer, p_token double precision,
  p_to text, p_result json, p_error json, p_retry_ms double precision, p_key_hash bytea, p_keep_failure boolean,
  p_retention_ms double precision, p_unused boolean, p_strict boolean,
  out reason text, out retry_at_ms double precision
) language plpgsql as $$
#variable_conflict use_column
declare
  r longwatch.task_run%rowtype;
  t longwatch.task%rowtype;
  k longwatch.idempotency%rowtype;
  v_retry timestamptz := clock_timestamp() + p_retry_ms * interval '1 millisecond';
begin
  select * into r from longwatch.task_run where workflow_id = p_workflow for share;
  -- As a rule it has completed and the fence holds: one statement. Where it misses, what follows finds out why.
  if p_to = 'completed' then
    update longwatch.task set state = 'completed', owner = null, lease_expires_at = null, changed_at = now(),
      result = p_result, error = p_error, retry_at = null, expires_at = now() + p_retention_ms * interval '1 millisecond'
    where task = p_task and run_id = p_run and state = 'leased' and owner = p_owner and attempt = p_attempt
      and lease_expires_at > clock_timestamp() and r.state = 'active' and r.token = p_token::bigint;
    if found then
      -- Who comes for the key from now on waits for the row above, and finds the result.
      if (select waited from longwatch.idempotency where activity = p_activity and key_hash = p_key_hash and task = p_task) then
        perform pg_notify('longwatch_key', encode(p_key_hash, 'hex'));
      end if;
      return;
    end if;
  end if;
  if p_key_hash is not null then
    select * into k from longwatch.idempotency where activity = p_activity and key_hash = p_key_hash for update;
  end if;
  select * into t from longwatch.task where task = p_task for update;
  reason := longwatch.fence_reason(t, r, p_owner, p_attempt, p_run, p_token::bigint);
  if not p_strict and reason in
    ('run_not_found', 'run_not_active', 'run_token_rotated', 'lease_missing_expiry', 'lease_expired') then
    reason := null;
  end if;
  if reason is not null then return; end if;
  update longwatch.task set
    state = p_to, owner = null, lease_expires_at = null, changed_at = now(), result = p_result,
    error = coalesce(p_error, case when p_to = 'completed' then null else t.error end),
    retry_at = case when p_to = 'waiting' then v_retry end,
    -- Handing back forever would be a crash loop too.
    unused = case when p_unused and t.unused < 5 then t.unused + 1 else t.unused end,
    expires_at = case when p_to = 'waiting' then t.expires_at
                      -- A compensation that failed stays until somebody has mended it.
                      when p_to = 'failed' and t.kind = 'compensation' then null
                      else now() + p_retention_ms * interval '1 millisecond' end
  where task = p_task;
  if p_to = 'waiting' then retry_at_ms := extract(epoch from v_retry) * 1000; end if;
  if k.task = p_task then
    if p_to = 'discarded' or (p_to = 'failed' and not p_keep_failure) then
      delete from longwatch.idempotency where activity = p_activity and key_hash = p_key_hash;
    end if;
    if k.waited and p_to <> 'waiting' then perform pg_notify('longwatch_key', encode(p_key_hash, 'hex')); end if;
  end if;
end $$;

-- Down Migration
drop function longwatch.settle_task, longwatch.take_task, longwatch.fence_reason;
drop table longwatch.idempotency, longwatch.task, longwatch.task_run;
