//! The programs load on this kernel, and a cgroup without a configured pod is closed.
#[test]
fn programs_load() {
    let (datapath, _ring) = weir::datapath::Datapath::load().unwrap_or_else(|e| {
        let mut s = format!("{e}");
        let mut c: &dyn std::error::Error = &e;
        while let Some(n) = c.source() { s += &format!(": {n}"); c = n; }
        panic!("{s}");
    });
    let slot = datapath.prepare_slot(Default::default()).unwrap();
    let cg = std::path::Path::new("/sys/fs/cgroup/unified/weir-test");
    let _ = std::fs::create_dir(cg);
    let a = datapath.attach(cg, slot.number(), None).unwrap();
    drop(a);
    std::fs::remove_dir(cg).unwrap();
}
