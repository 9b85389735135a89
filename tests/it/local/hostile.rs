//! An agent that writes everywhere it can: the host's files don't change.

use std::fs;
use std::path::Path;

use tokio::sync::SetOnce;

use super::{STAY, Setup, written};
use e2e_matrix::event::Symptom;

/// Folders that exist on every host, and in a sandbox.
const FOLDERS: [&str; 12] = [
    "/", "/etc", "/usr", "/usr/bin", "/home", "/root", "/tmp", "/var/lib", "/var/log", "/run",
    "/dev/shm", "/opt",
];

/// Creates, changes and deletes files, first directly, and then through each way out of the sandbox that the script
/// knows.
const WRITE: &str = r#"
write() {
  for d in $FOLDERS "$CANARIES"; do
    echo hostile > "$1$d/$NAME"; mkdir "$1$d/$NAME.d"; ln -s / "$1$d/$NAME.l"; chmod 777 "$1$d"
  done
  echo hostile >> "$1$CANARIES/canary"; rm -rf "$1$CANARIES/folder"; mv "$1$CANARIES/canary" "$1$CANARIES/moved"
  echo hostile >> "$1/etc/hostname"; echo hostile > "$1/proc/sys/kernel/domainname"
}
write ""
write /proc/1/root
write /proc/self/cwd/../../..
mount -o remount,rw /; mount -o remount,rw,bind /usr; mount -t proc proc /mnt; umount -l /etc/hosts; umount -l "$CANARIES"
write ""
unshare --user --map-root-user --mount sh -c "mount -o remount,rw,bind /usr; mount -o remount,rw /; echo hostile > /usr/$NAME"
mknod /tmp/disk b 254 0; for disk in /dev/[vs]d* /tmp/disk; do [ -b "$disk" ] && echo "sees $disk" >> "$DATA/sees"; done
kill -9 -1
for id in /proc/[0-9]*; do echo "$id" >> "$DATA/processes"; done
echo end > "$DATA/done"
trap 'exit 0' TERM
sleep 600 &
wait
"#;

#[tokio::test]
async fn a_hostile_agent_does_not_change_the_host() {
    let name = format!("e2e-matrix-hostile-{}", std::process::id());
    // The canaries are in a folder that a sandbox does not hide, so that the agent can attack them.
    let beside = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let canaries = tempfile::tempdir_in(beside).unwrap();
    fs::write(canaries.path().join("canary"), "alive").unwrap();
    fs::create_dir(canaries.path().join("folder")).unwrap();
    let host_name = fs::read("/etc/hostname").unwrap_or_default();
    let domain = fs::read("/proc/sys/kernel/domainname").unwrap();
    let variables = format!(
        "          env:\n            - {{name: DATA, value: /var/lib/plexd}}\n            - {{name: NAME, value: {name}}}\n            \
         - {{name: CANARIES, value: {}}}\n            - {{name: FOLDERS, value: '{}'}}\n",
        canaries.path().display(),
        FOLDERS.join(" "),
    );
    let lab = Setup::agent(WRITE)
        .with("          env:\n", &variables)
        .with(
            "readOnlyRootFilesystem: true",
            "readOnlyRootFilesystem: false",
        )
        .lab()
        .await;
    lab.ready().await.unwrap();
    written(&lab.host(0, "/var/lib/plexd/done")).await;
    for folder in FOLDERS.map(Path::new).into_iter().chain([canaries.path()]) {
        for end in ["", ".d", ".l"] {
            let path = folder.join(format!("{name}{end}"));
            assert!(fs::symlink_metadata(&path).is_err(), "{}", path.display());
        }
    }
    let mut left: Vec<_> = fs::read_dir(canaries.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["canary", "folder"]);
    assert_eq!(fs::read(canaries.path().join("canary")).unwrap(), b"alive");
    assert_eq!(fs::read("/etc/hostname").unwrap_or_default(), host_name);
    assert_eq!(fs::read("/proc/sys/kernel/domainname").unwrap(), domain);
    assert!(!lab.host(0, "/var/lib/plexd/sees").exists(), "disks");
    let processes = fs::read_to_string(lab.host(0, "/var/lib/plexd/processes")).unwrap();
    assert_eq!(
        processes, "/proc/1\n",
        "the agent must see no other process"
    );
    // After a restart, nothing is left of what the agent did to its own file system.
    lab.cluster
        .restart(&[lab.node(0)], &SetOnce::new(), &lab.deadline())
        .await
        .unwrap();
    lab.destroy().await;
}

#[tokio::test]
async fn no_link_in_a_volume_leads_out_of_the_sandbox_after_a_restart() {
    for mount in [
        "{name: data, mountPath: /elsewhere, subPath: taken/below}",
        "{name: run, mountPath: /var/lib/plexd/taken/below}",
    ] {
        let outside = tempfile::tempdir().unwrap();
        let link = format!("mv taken old; ln -s '{}' taken", outside.path().display());
        let lab = Setup::agent(&format!(
            "cd /var/lib/plexd; {link}; echo end > done; {STAY}"
        ))
        .with(
            "          volumeMounts:\n",
            &format!("          volumeMounts:\n            - {mount}\n"),
        )
        .lab()
        .await;
        lab.ready().await.unwrap();
        written(&lab.host(0, "/var/lib/plexd/done")).await;
        let (nodes, ended, deadline) = ([lab.node(0)], SetOnce::new(), lab.deadline());
        let failure = tokio::select! {
            failure = lab.cluster.broken() => failure,
            restarted = lab.cluster.restart(&nodes, &ended, &deadline) => panic!("{restarted:?}"),
        };
        assert_eq!(failure.symptom, Symptom::ProcessFailed, "{failure}");
        assert!(failure.message.contains("/taken"), "{failure}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "{mount}");
        lab.destroy().await;
        assert!(outside.path().exists());
    }
}
