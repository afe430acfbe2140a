-- Up Migration

alter table longwatch.task
  -- Of an effect that can be taken back: the workflows that rely on it; null: the one that made it. It is taken back for the last one only.
  add column users text[],
  -- The call that has its lease: it asks again where the answer to its first asking was lost.
  add column call text,
  -- It got the result of this task, which has its key; it has none of its own.
  add column made_by text,
  -- A compensation is taking it back: who comes with its key waits for what becomes of that.
  add column undoing boolean not null default false,
  -- The workflow has a reference in place of the result: kept until it has ended. The next look at whether it has.
  add column held_until timestamptz;

create index task_held on longwatch.task (held_until) where held_until is not null;

-- What the first caller of a key asked for, and how many others asked for something else with the same key.
alter table longwatch.idempotency
  add column fingerprint bytea,
  add column others integer not null default 0,
  add column other_task text,
  add column other_at timestamptz;

-- The first of these signatures stay for workers of the version before, which go on while this one comes.

-- Looks for a stored result, and else takes the lease and counts the attempt: one statement of the worker. Locks, here and in
-- settle_task, in the order run, key, task; of a compensation then the task that it takes back. Saga, target and queue are parameters of
-- their own: PostgreSQL would decode the whole of a document to read one field of it, and the user's text in it may have what it refuses.
create function longwatch.take_task(
  p_task text, p_activity text, p_kind text, p_workflow text, p_run text, p_ended_run text, p_owner text,
  p_ttl_ms double precision, p_attempts integer, p_resource text, p_key text, p_key_hash bytea, p_keep_failure boolean,
  p_retention_ms double precision, p_fingerprint bytea, p_refuse boolean, p_undo boolean,
  p_saga text, p_target text, p_task_queue text, p_input json, p_call text,
  out outcome text, out source text, out o_attempt integer, out o_used integer, out o_token double precision,
  out o_owner text, out wait_ms double precision, out o_result json, out o_error json, out o_run text, out o_other boolean
) language plpgsql as $$
#variable_conflict use_column
declare
  r longwatch.task_run%rowtype;
  t longwatch.task%rowtype;
  h longwatch.task%rowtype;
  g longwatch.task%rowtype;
  k longwatch.idempotency%rowtype;
  x record;
  v_valid boolean;
  v_used integer := 0;
  v_users text[];
  v_target text := p_target;
  v_ttl interval := p_ttl_ms * interval '1 millisecond';
  v_retention interval := p_retention_ms * interval '1 millisecond';
  -- Far beyond any time-out and wait: what nobody came back for.
  v_abandoned constant interval := interval '90 days';
  -- How long a compensation may be late: its worker has died, or all workers are away.
  v_patience constant interval := interval '10 minutes';
begin
  o_other := false;
  -- 1. What is known already, without a lock; unless something is to be noted of who asks.
  if p_key_hash is not null then
    select o.*, i.fingerprint as key_print, i.other_task as key_other into x
    from longwatch.idempotency i join longwatch.task o on o.task = i.task
    where i.activity = p_activity and i.key_hash = p_key_hash;
    if x.state in ('completed', 'resolved', 'failed') and (x.expires_at is null or x.expires_at > now()) and not x.undoing
       and (x.task = p_task or x.key_print is null or p_fingerprint is null or x.key_print = p_fingerprint
            or (x.key_other = p_task and not p_refuse))
       and (not p_undo or x.state = 'failed' or p_workflow = any(coalesce(x.users, array[x.workflow_id]))) then
      outcome := case when x.state = 'failed' then 'failed' else 'done' end;
      source := x.task; o_result := x.result; o_error := x.error;
      return;
    end if;
  end if;
  select * into t from longwatch.task where task = p_task;
  -- The answer to this very call was lost: it has the lease already, if nobody else has taken it since.
  if t.state = 'leased' and t.call = p_call then
    update longwatch.task set lease_expires_at = clock_timestamp() + v_ttl
    where task = p_task and state = 'leased' and call = p_call and (resource is null or lease_expires_at > clock_timestamp());
    if found then
      select token into o_token from longwatch.task_run where workflow_id = p_workflow;
      outcome := 'run'; source := p_task; o_attempt := t.attempt; o_used := t.attempt - t.unused; o_error := t.error;
      return;
    end if;
    -- It ran out, and its resource may be another one's: it was never run, so no attempt is used.
    update longwatch.task set state = 'waiting', owner = null, lease_expires_at = null, unused = unused + 1
    where task = p_task and state = 'leased' and call = p_call;
    select * into t from longwatch.task where task = p_task;
  end if;
  if t.state in ('completed', 'resolved', 'failed', 'discarded') then
    if t.made_by is not null then select * into t from longwatch.task where task = t.made_by; end if;
    outcome := case t.state when 'failed' then 'failed' when 'completed' then 'done' when 'resolved' then 'done' else 'discarded' end;
    source := t.task; o_result := t.result; o_error := t.error;
    return;
  end if;

  -- 2. The run: ours, or one that Temporal says is over. It has been seen now: who deletes old ones looks again.
  if p_ended_run <> p_run then
    update longwatch.task_run set run_id = p_run, token = token + 1, state = 'active', seen_at = now()
    where workflow_id = p_workflow and run_id = p_ended_run;
  end if;
  update longwatch.task_run set seen_at = now() where workflow_id = p_workflow and seen_at < now() - interval '1 hour';
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
      insert into longwatch.idempotency (activity, key_hash, key, task, fingerprint)
      values (p_activity, p_key_hash, p_key, p_task, p_fingerprint)
      on conflict do nothing returning * into k;
      exit when found;
      select * into k from longwatch.idempotency where activity = p_activity and key_hash = p_key_hash for update;
      exit when found;
    end loop;
    if k.task <> p_task then
      select * into h from longwatch.task where task = k.task for update;
      v_valid := h.state in ('completed', 'resolved', 'failed') and (h.expires_at is null or h.expires_at > now());
      -- The same key, and something else is asked for: noted once for who asks.
      if (v_valid or h.state in ('leased', 'waiting')) and k.fingerprint <> p_fingerprint then
        if k.other_task is distinct from p_task then
          update longwatch.idempotency set others = others + 1, other_task = p_task, other_at = now()
          where activity = p_activity and key_hash = p_key_hash;
          o_other := true;
        end if;
        if p_refuse then
          outcome := 'other_input'; source := k.task;
          return;
        end if;
      end if;
      -- Nobody takes it back any more: the workflow that was about to has been terminated between two attempts.
      if v_valid and h.undoing and not exists (
        select from longwatch.task c
        where c.target = h.task and c.kind = 'compensation' and c.state in ('leased', 'waiting')
          and coalesce(c.lease_expires_at, c.retry_at, c.changed_at) + v_patience > clock_timestamp()) then
        update longwatch.task set undoing = false where task = h.task;
        h.undoing := false;
      end if;
      if v_valid and not h.undoing then
        if p_undo and h.state <> 'failed' and not p_workflow = any(coalesce(h.users, array[h.workflow_id])) then
          -- Where its workflow gives this call up it takes back what this call was given.
          insert into longwatch.task as o (task, activity, workflow_id, run_id, state, made_by, expires_at)
          values (p_task, p_activity, p_workflow, p_run, 'completed', h.task, h.expires_at)
          on conflict (task) do update set state = 'completed', made_by = excluded.made_by, expires_at = excluded.expires_at,
            owner = null, lease_expires_at = null, changed_at = now()
          where o.state in ('leased', 'waiting');
          if not found then
            outcome := 'discarded';
            return;
          end if;
          update longwatch.task set users = coalesce(users, array[workflow_id]) || p_workflow where task = h.task;
        end if;
        outcome := case when h.state = 'failed' then 'failed' else 'done' end;
        source := h.task; o_result := h.result; o_error := h.error;
        return;
      end if;
      if v_valid
         or (h.state in ('leased', 'discarded') and h.lease_expires_at > clock_timestamp())
         -- Between two attempts; when it does not come back, another may have the key.
         or (h.state = 'waiting' and coalesce(h.retry_at, h.changed_at) + v_ttl > clock_timestamp()) then
        update longwatch.idempotency set waited = true
        where activity = p_activity and key_hash = p_key_hash and not waited;
        outcome := 'key_held'; o_owner := h.owner; source := h.task;
        wait_ms := case when v_valid then 1000 else
          greatest(0, extract(epoch from coalesce(h.lease_expires_at, h.retry_at + v_ttl, h.changed_at + v_ttl) - clock_timestamp()) * 1000) end;
        return;
      end if;
      -- Its attempts are ours: who takes over a key must not run a crashing effect forever.
      if h.state in ('leased', 'waiting') then
        v_used := h.attempt - h.unused;
        update longwatch.task set state = 'waiting', owner = null, lease_expires_at = null, changed_at = now(),
          expires_at = now() + v_retention
        where task = h.task;
      end if;
      update longwatch.idempotency set task = p_task, fingerprint = p_fingerprint
      where activity = p_activity and key_hash = p_key_hash;
    end if;
  end if;

  -- 4. The task, which nobody else may hold, nor its resource. As a rule it is new: then this is all.
  if t.task is null and p_resource is null and p_target is null and v_used = 0 then
    insert into longwatch.task (task, activity, kind, workflow_id, run_id, state, owner, attempt, lease_expires_at, key_hash,
                                saga, task_queue, input, call, expires_at)
    values (p_task, p_activity, p_kind, p_workflow, p_run, 'leased', p_owner, 1, clock_timestamp() + v_ttl, p_key_hash,
            p_saga, p_task_queue, p_input, p_call, now() + v_abandoned)
    on conflict do nothing;
    if found then
      outcome := 'run'; source := p_task; o_attempt := 1; o_used := 1; o_token := r.token;
      return;
    end if;
  end if;
  loop
    select * into t from longwatch.task where task = p_task for update;
    exit when found;
    insert into longwatch.task (task, activity, kind, workflow_id, run_id, state, resource, key_hash, saga, target, task_queue, input,
                                expires_at)
    values (p_task, p_activity, p_kind, p_workflow, p_run, 'waiting', p_resource, p_key_hash, p_saga, p_target, p_task_queue, p_input,
            now() + v_abandoned)
    on conflict do nothing;
  end loop;
  if t.state in ('completed', 'resolved', 'failed', 'discarded') then
    if t.made_by is not null then select * into t from longwatch.task where task = t.made_by; end if;
    outcome := case t.state when 'failed' then 'failed' when 'completed' then 'done' when 'resolved' then 'done' else 'discarded' end;
    source := t.task; o_result := t.result; o_error := t.error;
    return;
  elsif t.state = 'leased' and t.lease_expires_at > clock_timestamp() then
    outcome := 'held'; o_owner := t.owner;
    wait_ms := extract(epoch from t.lease_expires_at - clock_timestamp()) * 1000;
    return;
  end if;
  if p_resource is not null then
    perform pg_advisory_xact_lock(hashtextextended(p_resource, 7270));
    -- Locked: a renewal that is under way counts.
    select * into h from longwatch.task
    where resource = p_resource and task <> p_task and state in ('leased', 'discarded') and lease_expires_at is not null
    order by lease_expires_at desc limit 1 for update;
    if h.lease_expires_at > clock_timestamp() then
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
    if t.target is not null then update longwatch.task set undoing = false where task = t.target and undoing; end if;
    if not p_keep_failure then
      delete from longwatch.idempotency where activity = p_activity and key_hash = p_key_hash and task = p_task;
    end if;
    if k.waited then perform pg_notify('longwatch_key', encode(p_key_hash, 'hex')); end if;
    outcome := 'exhausted'; source := p_task; o_used := v_used;
    return;
  end if;

  -- 6. Of a compensation: what it takes back must not come about any more, and nobody else may rely on it.
  if p_target is not null then
    loop
      select * into g from longwatch.task where task = v_target for update;
      if g.made_by is not null then
        v_target := g.made_by;
        continue;
      end if;
      exit when found;
      -- It was given up before it had begun; should it begin yet, it finds that it may not.
      insert into longwatch.task (task, activity, workflow_id, run_id, state, note, expires_at)
      values (v_target, p_activity, p_saga, split_part(v_target, '/', 1), 'discarded', 'taken back before it began', now() + v_abandoned)
      on conflict do nothing;
    end loop;
    if g.state in ('leased', 'waiting') then
      -- Its lease goes on: until it has run out, or whoever runs it has stopped, nobody else has its key or its resource.
      update longwatch.task set state = 'discarded', changed_at = now(), note = 'taken back before it ended',
        expires_at = now() + v_abandoned
      where task = v_target;
      g.state := 'discarded';
    end if;
    if g.state = 'discarded' and g.lease_expires_at > clock_timestamp() then
      outcome := 'held'; o_owner := g.owner;
      wait_ms := extract(epoch from g.lease_expires_at - clock_timestamp()) * 1000;
      return;
    end if;
    if g.state = 'completed' then
      v_users := array_remove(coalesce(g.users, array[g.workflow_id]), p_saga);
      update longwatch.task set users = v_users, undoing = cardinality(v_users) = 0 where task = v_target;
      if cardinality(v_users) > 0 then
        update longwatch.task set state = 'completed', owner = null, lease_expires_at = null, result = 'null', changed_at = now(),
          note = format('not taken back: %s relies on it', v_users[1]), expires_at = now() + v_retention
        where task = p_task;
        -- The last one that relies on it comes with the same key, and must not find that it was done.
        delete from longwatch.idempotency where activity = p_activity and key_hash = p_key_hash and task = p_task;
        outcome := 'relied_on'; source := p_task; o_owner := v_users[1];
        return;
      end if;
    end if;
  end if;
  o_attempt := t.unused + v_used + 1;
  update longwatch.task set state = 'leased', owner = p_owner, attempt = o_attempt, lease_expires_at = clock_timestamp() + v_ttl,
    error = t.error, retry_at = null, changed_at = now(), resource = p_resource, target = v_target, call = p_call,
    expires_at = now() + v_abandoned
  where task = p_task;
  outcome := 'run'; source := p_task; o_used := v_used + 1; o_token := r.token; o_error := t.error;
end $$;

-- What was taken back has no result any more: who comes with its key runs it again.
create function longwatch.forget_taken_back(p_target text) returns void language plpgsql as $$
declare
  k longwatch.idempotency%rowtype;
begin
  delete from longwatch.idempotency i using longwatch.task g
  where g.task = p_target and i.activity = g.activity and i.key_hash = g.key_hash and i.task = g.task
  returning i.* into k;
  if k.waited then perform pg_notify('longwatch_key', encode(k.key_hash, 'hex')); end if;
end $$;

-- The end of an attempt, by compare-and-set: in the transaction of the effect, where it has one. Not strict: only the claim
-- itself is compared (state, owner, attempt), to give up what the fence has refused.
create function longwatch.settle_task(
  p_task text, p_activity text, p_workflow text, p_run text, p_owner text, p_attempt integer, p_token double precision,
  p_to text, p_result json, p_error json, p_retry_ms double precision, p_key_hash bytea, p_keep_failure boolean,
  p_retention_ms double precision, p_unused boolean, p_strict boolean, p_by_reference boolean,
  out reason text, out retry_at_ms double precision
) language plpgsql as $$
#variable_conflict use_column
declare
  r longwatch.task_run%rowtype;
  t longwatch.task%rowtype;
  k longwatch.idempotency%rowtype;
  v_target text;
  v_retry timestamptz := clock_timestamp() + p_retry_ms * interval '1 millisecond';
  v_retention interval := p_retention_ms * interval '1 millisecond';
begin
  select * into r from longwatch.task_run where workflow_id = p_workflow for share;
  -- As a rule it has completed and the fence holds: one statement. Where it misses, what follows finds out why.
  if p_to = 'completed' then
    update longwatch.task set state = 'completed', owner = null, lease_expires_at = null, changed_at = now(),
      result = p_result, error = p_error, retry_at = null, expires_at = now() + v_retention,
      held_until = case when p_by_reference then now() + v_retention end
    where task = p_task and run_id = p_run and state = 'leased' and owner = p_owner and attempt = p_attempt
      and lease_expires_at > clock_timestamp() and r.state = 'active' and r.token = p_token::bigint
    returning target into v_target;
    if found then
      -- Who comes for the key from now on waits for the row above, and finds the result.
      if (select waited from longwatch.idempotency where activity = p_activity and key_hash = p_key_hash and task = p_task) then
        perform pg_notify('longwatch_key', encode(p_key_hash, 'hex'));
      end if;
      if v_target is not null then perform longwatch.forget_taken_back(v_target); end if;
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
    held_until = case when p_to = 'completed' and p_by_reference then now() + v_retention end,
    expires_at = case when p_to = 'waiting' then t.expires_at
                      -- A compensation that failed stays until somebody has mended it.
                      when p_to = 'failed' and t.kind = 'compensation' then null
                      else now() + v_retention end
  where task = p_task;
  if t.target is not null then
    if p_to = 'completed' then
      perform longwatch.forget_taken_back(t.target);
    elsif p_to <> 'waiting' then
      update longwatch.task set undoing = false where task = t.target and undoing;
    end if;
  end if;
  if p_to = 'waiting' then retry_at_ms := extract(epoch from v_retry) * 1000; end if;
  if k.task = p_task then
    if p_to = 'discarded' or (p_to = 'failed' and not p_keep_failure) then
      delete from longwatch.idempotency where activity = p_activity and key_hash = p_key_hash;
    end if;
    if k.waited and p_to <> 'waiting' then perform pg_notify('longwatch_key', encode(p_key_hash, 'hex')); end if;
  end if;
end $$;

-- Down Migration
drop function longwatch.settle_task(text, text, text, text, text, integer, double precision, text, json, json, double precision, bytea,
  boolean, double precision, boolean, boolean, boolean);
drop function longwatch.forget_taken_back(text);
drop function longwatch.take_task(text, text, text, text, text, text, text, double precision, integer, text, text, bytea, boolean,
  double precision, bytea, boolean, boolean, text, text, text, json, text);
alter table longwatch.idempotency drop column fingerprint, drop column others, drop column other_task, drop column other_at;
drop index longwatch.task_held;
alter table longwatch.task drop column users, drop column made_by, drop column call, drop column undoing, drop column held_until;
