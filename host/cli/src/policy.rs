//! `policy`: the exact schedule of attempts.

use std::time::Duration;

use retake_core::component::ComponentInfo;
use retake_core::retry::{RetryPolicy, WhenExhausted};
use retake_engine::AskError;

use crate::args::Args;
use crate::out::{self, Exit, took};
use crate::{inspect, local, run};
use retake_server::wire::{PolicyAttempt, PolicyView, millis};

/// Most attempts that are listed one by one.
const LISTED: usize = 50;

pub(crate) async fn policy(args: &Args, typed: &crate::args::Policy) -> anyhow::Result<Exit> {
    out::choose_color(args.color);
    let (info, named): (ComponentInfo, Option<&str>) = if inspect::is_file(&typed.target) {
        (inspect::look_into(args, typed.target.as_ref()).await?.info, typed.flow.as_deref())
    } else {
        let store = local::look(args)?.ok_or_else(|| inspect::unknown(&typed.target))?;
        let (_, info) = run::find_flow(store.as_ref(), &typed.target).await?;
        (info, Some(typed.target.as_str()))
    };
    let flow = run::choose_flow(&info, named)?;
    let overrides = run::overrides(&typed.policy);
    overrides.check(flow).map_err(AskError::Field)?;
    let of_flow = overrides.policy(flow);
    let mut views = vec![view("flow", &flow.name, &of_flow, None)];
    for task in &info.tasks {
        let all = u64::from(attempts(&of_flow)) * u64::from(attempts(&task.retry));
        views.push(view("task", &task.name, &task.retry, Some(all)));
    }
    let policies: Vec<&RetryPolicy> = std::iter::once(&of_flow).chain(info.tasks.iter().map(|it| &it.retry)).collect();
    out::one(
        args.output,
        &views,
        || flow.name.clone(),
        || {
            let text: Vec<String> = views.iter().zip(policies).map(|(view, policy)| table(view, policy)).collect();
            out::plain(&text.join("\n"))
        },
    );
    Ok(Exit::Ok)
}

/// How many attempts there may be in a round, rules apart.
fn attempts(policy: &RetryPolicy) -> u32 {
    let Some(within) = policy.give_up_after else { return policy.retries + 1 };
    let mut earliest = Duration::ZERO;
    let in_time = policy.waits(policy.retries as usize).into_iter().take_while(|wait| {
        earliest = earliest.saturating_add(*wait);
        earliest <= within
    });
    in_time.count() as u32 + 1
}

fn view(kind: &'static str, name: &str, policy: &RetryPolicy, attempts_with_flow: Option<u64>) -> PolicyView {
    let mut schedule = vec![PolicyAttempt { attempt: 1, delay_ms: 0, earliest_ms: 0, latest_ms: 0 }];
    let (mut earliest, mut latest) = (Duration::ZERO, Duration::ZERO);
    let listed = LISTED.min(attempts(policy) as usize - 1);
    for (attempt, delay) in (2u32..).zip(policy.waits(listed)) {
        earliest = earliest.saturating_add(delay);
        latest = latest.saturating_add(policy.jittered(delay, u64::MAX));
        schedule.push(PolicyAttempt {
            attempt,
            delay_ms: millis(delay),
            earliest_ms: millis(earliest),
            latest_ms: millis(latest),
        });
    }
    PolicyView {
        kind: kind.to_owned(),
        name: name.to_owned(),
        attempts: attempts(policy),
        attempts_with_flow,
        when_exhausted: policy.when_exhausted,
        schedule,
    }
}

fn table(view: &PolicyView, policy: &RetryPolicy) -> String {
    let attempts = |n: u32| if n == 1 { "1 attempt".to_owned() } else { format!("up to {n} attempts") };
    let mut text = format!("{} {}: {}", view.kind, view.name, attempts(view.attempts));
    if let Some(all) = view.attempts_with_flow
        && all > u64::from(view.attempts)
    {
        text += &format!("; with the flow's own, up to {all}");
    }
    if view.when_exhausted == WhenExhausted::Park {
        text += "; then parked";
    }
    for rule in &policy.rules {
        text += &format!("\n  {}", inspect::rule(rule));
    }
    if view.schedule.len() > 1 {
        let mut rows = out::table(&["  ATTEMPT", "AFTER", "BEGINS AT", "AT THE LATEST"]);
        for attempt in &view.schedule {
            let ms = |ms| took(Duration::from_millis(ms));
            let (delay, earliest) = match attempt.attempt {
                1 => ("-".to_owned(), "0 s".to_owned()),
                _ => (ms(attempt.delay_ms), format!("+ {}", ms(attempt.earliest_ms))),
            };
            let latest = if attempt.attempt == 1 { String::new() } else { format!("+ {}", ms(attempt.latest_ms)) };
            rows.add_row([format!("  {}", attempt.attempt), delay, earliest, latest]);
        }
        text += &format!("\n{rows}");
        let left = view.attempts as usize - view.schedule.len();
        if left > 0 {
            text += &format!("\n  … and {left} more");
        }
    }
    text + "\n"
}
