export { Alarm } from '../../core/alarm.ts'
