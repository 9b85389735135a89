//! Many calls at once: no call of any node is lost, and a call is counted before its response is sent.

use std::sync::Arc;

use mockapi::view::Counter;

use crate::harness::Mock;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_calls_are_counted_exactly() {
    let mock = Arc::new(Mock::start().await);
    let (tasks, calls) = (16_u64, 50_u64);
    let work = (0..tasks).map(|n| {
        let mock = Arc::clone(&mock);
        tokio::spawn(async move {
            let node = mock.register(&format!("host-{}", n % 4)).await;
            for call in 1..=calls {
                mock.heartbeat(&node.id, Some(&node.key)).await;
                assert!(mock.assertions().await[Counter::Heartbeat] >= call);
            }
        })
    });
    for done in futures::future::join_all(work).await {
        done.unwrap();
    }
    assert_eq!(mock.assertions().await[Counter::Heartbeat], tasks * calls);
    let nodes = mock.nodes().await.nodes;
    assert_eq!(nodes.len(), 4);
    for node in nodes.values() {
        assert_eq!(node.counters[Counter::Heartbeat], tasks * calls / 4);
        assert_eq!(node.counters[Counter::Registration], tasks / 4);
    }
}
