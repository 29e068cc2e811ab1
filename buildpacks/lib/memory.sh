# How much memory the dyno has, in MiB. Part of the profiles that ask, which take the name away again.
_hythe_memory_mib() {
  local file bytes
  for file in /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max; do
    if [[ -r $file ]] && read -r bytes < "$file" && [[ $bytes =~ ^[0-9]{1,15}$ ]]; then
      echo $((bytes / 1048576))
      return
    fi
  done
  echo 512
}
