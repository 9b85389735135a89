//! The budget on a simulated machine.

use futures::FutureExt;

use super::*;
use crate::machine::load::Load;

const MEBIBYTE: u64 = 1 << 20;

/// A cell of plain processes that needs `slots` slots.
fn processes(slots: usize) -> Need {
    Need {
        slots,
        slots_when_ready: slots,
        ..Need::default()
    }
}

/// A control plane.
const CLUSTER: Need = Need {
    slots: SLOTS_OF_CONTROL_PLANE,
    slots_when_ready: SLOTS_OF_CONTROL_PLANE / 2,
    memory: MEMORY_OF_CONTROL_PLANE,
    inotify: 12,
};

/// An idle machine.
fn idle() -> Vitals {
    let load = Load {
        average_hundredths: 10,
        runnable: 1,
        cpu_pressure_percent: Some(0),
        memory_available: 64 << 30,
    };
    Vitals {
        cpus: 2,
        load: Some(load),
        inotify: Some((10, 128)),
    }
}

fn with_load(change: impl FnOnce(&mut Load)) -> Vitals {
    let mut vitals = idle();
    change(vitals.load.as_mut().unwrap());
    vitals
}

fn budget(folder: &tempfile::TempDir, total: usize) -> Budget {
    let state = StateFolder::at(folder.path());
    Budget::new(&state, total, Arc::new(|_| idle()))
}

async fn taken(budget: &Budget, slots: usize) -> Share {
    budget.take(&processes(slots), |_| {}).await.unwrap()
}

#[test]
fn slots_follow_processors_and_memory() {
    assert_eq!(slots(2, Some(24 << 30)), 16);
    assert_eq!(
        slots(8, Some(4 << 30)),
        20,
        "memory for five control planes"
    );
    assert_eq!(slots(1, Some(1 << 20)), SLOTS_OF_CONTROL_PLANE);
    assert_eq!(slots(2, None), 16);
}

#[test]
fn each_shortage_is_reported() {
    let short = |taken, reserved, vitals| {
        let short = shortage(&CLUSTER, taken, reserved, &vitals);
        short.map(|short| short.to_string())
    };
    assert_eq!(short(4, 0, idle()), None);
    let tight = with_load(|load| load.memory_available = 900 * MEBIBYTE);
    assert_eq!(short(4, 0, tight), None);
    let memory = "waiting for memory: 132 MiB free, 768 MiB needed".to_owned();
    assert_eq!(short(4, MEMORY_OF_CONTROL_PLANE, tight), Some(memory));
    let mut watched = idle();
    watched.inotify = Some((120, 128));
    let inotify = "waiting for inotify instances: 120 of 128 are in use, 12 needed".to_owned();
    assert_eq!(short(4, 0, watched), Some(inotify));
    let busy = with_load(|load| {
        load.average_hundredths = 1205;
        load.runnable = 14;
        load.cpu_pressure_percent = Some(90);
    });
    let processors = "waiting for processors: other programs keep them busy \
                      (load average 12.05 on 2 processors)";
    assert_eq!(short(4, 0, busy).as_deref(), Some(processors));
    assert_eq!(short(12, 0, busy), None, "it is the cells' own load");
    let was_busy = with_load(|load| {
        load.average_hundredths = 1205;
        load.cpu_pressure_percent = None;
    });
    assert_eq!(
        short(4, 0, was_busy),
        None,
        "the average is high, but the load is gone"
    );
    let light = shortage(&processes(1), 1, 0, &busy);
    assert_eq!(light, None, "a cell of processes tolerates more load");
    assert_eq!(short(4, 0, Vitals::default()), None, "nothing is known");
}

#[tokio::test]
async fn all_processes_with_one_state_folder_share_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (budget(&folder, 4), budget(&folder, 4));
    let first = taken(&one, 3).await;
    let small = taken(&other, 1).await;
    let (sender, mut shortages) = tokio::sync::mpsc::unbounded_channel();
    let on_shortage = |short: &Shortage| sender.send(*short).unwrap();
    let need = processes(2);
    let mut waiting = std::pin::pin!(other.take(&need, on_shortage));
    let short = tokio::select! {
        _ = &mut waiting => panic!("there is no free slot"),
        short = shortages.recv() => short,
    };
    let expected = Shortage::Slots {
        taken: 4,
        total: 4,
        needed: 2,
    };
    assert_eq!(short, Some(expected));
    drop(first);
    let second = waiting.await.unwrap();
    drop((small, second));
    taken(&one, 4).await;
}

#[tokio::test]
async fn a_heavy_cell_is_not_passed_over_by_lighter_ones() {
    let folder = tempfile::tempdir().unwrap();
    let budget = budget(&folder, 4);
    let running = taken(&budget, 1).await;
    let heavy = processes(4);
    let (sender, mut shortages) = tokio::sync::mpsc::unbounded_channel();
    let on_shortage = |_: &Shortage| sender.send(()).unwrap();
    let mut heavy = std::pin::pin!(budget.take(&heavy, on_shortage));
    tokio::select! {
        _ = &mut heavy => panic!("a slot is taken"),
        _ = shortages.recv() => {}
    }
    let light = processes(2);
    let mut light = std::pin::pin!(budget.take(&light, |_| {}));
    assert!(
        (&mut light).now_or_never().is_none(),
        "its turn comes later"
    );
    drop(running);
    let heavy = tokio::select! {
        biased;
        _ = &mut light => panic!("a lighter cell has overtaken the heavy one"),
        heavy = heavy => heavy.unwrap(),
    };
    drop(heavy);
    light.await.unwrap();
}

#[tokio::test]
async fn a_cell_that_waits_for_an_earlier_run_reports_it_and_is_admitted_next() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (budget(&folder, 4), budget(&folder, 4));
    let running = taken(&one, 1).await;
    let (whole, half) = (processes(4), processes(2));
    let mut first = std::pin::pin!(one.take(&whole, |_| {}));
    let (sender, mut shortages) = tokio::sync::mpsc::unbounded_channel();
    let on_shortage = |short: &Shortage| sender.send(*short).unwrap();
    let second = async {
        // Starts only when the other run has the turn.
        while Lock::try_take(&one.state.lock("budget-turn"))
            .unwrap()
            .is_some()
        {
            tokio::task::yield_now().await;
        }
        other.take(&half, on_shortage).await.unwrap()
    };
    let mut second = std::pin::pin!(second);
    let short = tokio::select! {
        _ = &mut first => panic!("a slot is taken"),
        _ = &mut second => panic!("the first cell must be admitted before"),
        short = shortages.recv() => short,
    };
    assert_eq!(short, Some(Shortage::Turn));
    drop(running);
    drop(first.await.unwrap());
    second.await;
}

#[tokio::test]
async fn a_light_cell_does_not_wait_for_clusters() {
    let folder = tempfile::tempdir().unwrap();
    let budget = budget(&folder, 4);
    let cluster = taken(&budget, 4).await;
    let (heavy, light) = (processes(2), processes(1));
    let mut heavy = std::pin::pin!(budget.take(&heavy, |_| {}));
    assert!((&mut heavy).now_or_never().is_none());
    let first = taken(&budget, 1).await;
    let second = taken(&budget, 1).await;
    let (sender, mut shortages) = tokio::sync::mpsc::unbounded_channel();
    let on_shortage = |short: &Shortage| sender.send(*short).unwrap();
    let mut third = std::pin::pin!(budget.take(&light, on_shortage));
    tokio::select! {
        _ = &mut third => panic!("no slot is left for it"),
        _ = &mut heavy => panic!("reserved slots are for light cells"),
        short = shortages.recv() => assert_eq!(short, Some(Shortage::Turn)),
    }
    drop(first);
    third.await.unwrap();
    drop((cluster, second));
    heavy.await.unwrap();
}

#[tokio::test]
async fn a_cluster_that_has_started_makes_room_for_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let budget = budget(&folder, SLOTS_OF_CONTROL_PLANE * 2);
    let take = || budget.take(&CLUSTER, |_| {});
    let (mut first, mut second) = (take().await.unwrap(), take().await.unwrap());
    let mut third = std::pin::pin!(take());
    first.shrink();
    assert!((&mut third).now_or_never().is_none(), "a half isn't enough");
    second.shrink();
    third.await.unwrap();
}

#[tokio::test]
async fn one_cell_may_always_run() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateFolder::at(folder.path());
    let nothing = || with_load(|load| load.memory_available = 0);
    let budget = Budget::new(&state, 4, Arc::new(move |_| nothing()));
    let need = Need {
        slots: 99,
        ..CLUSTER
    };
    let share = budget.take(&need, |_| {}).await.unwrap();
    assert_eq!(share.slots.len(), 4);
}

#[tokio::test]
async fn reserved_memory_is_not_reserved_twice() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateFolder::at(folder.path());
    let two = || with_load(|load| load.memory_available = 2 * MEMORY_OF_CONTROL_PLANE);
    let budget = Budget::new(&state, 16, Arc::new(move |_| two()));
    let take = || budget.take(&CLUSTER, |_| {});
    let (first, _second) = (take().await.unwrap(), take().await.unwrap());
    let (sender, mut shortages) = tokio::sync::mpsc::unbounded_channel();
    let on_shortage = |short: &Shortage| sender.send(*short).unwrap();
    let mut third = std::pin::pin!(budget.take(&CLUSTER, on_shortage));
    let short = tokio::select! {
        _ = &mut third => panic!("the memory is reserved for both cells"),
        short = shortages.recv() => short,
    };
    let (free, needed) = (0, MEMORY_OF_CONTROL_PLANE);
    assert_eq!(short, Some(Shortage::Memory { free, needed }));
    drop(first);
    third.await.unwrap();
}
